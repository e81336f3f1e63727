"""``python -m service`` is the ``quintile`` command."""

from service.cli import main

main(prog_name="quintile")
