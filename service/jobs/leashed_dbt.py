"""dbt as a process that ends with the one that started it.

The locks that let a build write belong to the starting process. Should it be killed, a build that
went on would write what another may be writing by then. ``python -m service.jobs.leashed_dbt``
takes dbt's arguments, and ends at once when its standard input does.
"""

from __future__ import annotations

import os
import sys
import threading

from dbt.cli.main import cli


def _end_with_the_starter() -> None:
    while os.read(sys.stdin.fileno(), 1):
        pass
    # What is not committed is rolled back by the server.
    os._exit(1)


if __name__ == "__main__":
    threading.Thread(target=_end_with_the_starter, daemon=True).start()
    cli(prog_name="dbt")
