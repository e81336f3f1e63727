"""dbt as a process that ends with the one that started it, and parses only what has changed.

The locks that let a build write belong to the starting process. Should it be killed, a build that
went on would write what another may be writing by then: this process ends at once when its standard
input does.

dbt parses the whole project anew whenever a var is another than the last time, and each build has
another as_of or other tenants. Most of that changes nothing in the manifest, so it is parsed with
vars of its own, which stay the same, and handed to the build, whose vars count when SQL is made.

``python -m service.builds.dbt_process DIRECTORY VARS …``: the manifest is kept in the directory and
parsed with the vars (JSON); what follows are the arguments of dbt, none of whose vars or options
may decide anything else in the manifest.
"""

from __future__ import annotations

import gc
import os
import sys
import threading

from dbt.cli.main import dbtRunner, dbtRunnerResult
from dbt.contracts.graph.manifest import Manifest


def _end_with_the_starter() -> None:
    while os.read(sys.stdin.fileno(), 1):
        pass
    # What is not committed is rolled back by the server.
    os._exit(1)


def run_parsed(directory: str, manifest_vars: str, arguments: list[str]) -> int:
    """Run dbt on the manifest that these vars make; return its exit status."""
    # All that is imported and parsed stays: there is no garbage in it to look for.
    gc.disable()
    parsed = dbtRunner().invoke(
        [
            # Nobody reads the manifest but the build.
            *("--quiet", "--no-use-colors", "--warn-error", "--no-write-json", "parse"),
            *("--target-path", directory, "--vars", manifest_vars),
        ]
    )
    if not isinstance(parsed.result, Manifest):
        return _exit_status(parsed)
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)
    gc.enable()
    return _exit_status(dbtRunner(manifest=parsed.result).invoke(arguments))


def _exit_status(result: dbtRunnerResult) -> int:
    """As dbt's own command exits: 1 when something it ran failed, 2 when it could not run."""
    if result.exception is not None:
        # dbt has said why, unless its command line was wrong.
        return 2
    return 0 if result.success else 1


if __name__ == "__main__":
    threading.Thread(target=_end_with_the_starter, daemon=True).start()
    sys.exit(run_parsed(sys.argv[1], sys.argv[2], sys.argv[3:]))
