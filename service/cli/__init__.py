"""The ``quintile`` command: one file per group of commands."""
