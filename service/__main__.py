"""``python -m service`` is the ``quintile`` command."""

from service.cli.main import main

main(prog_name="quintile")
