"""dbt as builds run it, without its start.

One process imports dbt and forks another for each run, and what was parsed for a database serves
whoever has its name next. What comes of a run is the same as of the plain command, for which
``tests.integration.test_plain_dbt`` stands.
"""

from __future__ import annotations

import atexit
import hashlib
import json
import multiprocessing
import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from service.builds.run import manifest_vars
from service.core.config import PROJECT_DIR

_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(["service.builds.dbt_process", __name__])
_SECONDS = 300

_manifests: list[Path] = []


def dbt(url: str, target: Path, *arguments: str, expect: int = 0) -> str:
    """Run dbt on the database; its words, which are an error when it exits otherwise."""
    given = json.loads(arguments[arguments.index("--vars") + 1]) if "--vars" in arguments else {}
    wanted = manifest_vars(given)
    server_and_name = hashlib.sha256(url.encode()).hexdigest()[:16]
    directory = _manifest_dir() / server_and_name / "-".join(["manifest", *wanted])
    output = target / "output"
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("QUINTILE_", "DBT_"))}
    environment = {
        **inherited,
        "QUINTILE_DATABASE_URL": url,
        "DBT_PROFILES_DIR": str(PROJECT_DIR),
        "DBT_TARGET_PATH": str(target),
        "DBT_LOG_PATH": str(target),
        "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
    }
    process = _FORKS.Process(
        target=_run,
        args=(
            *(str(directory), json.dumps(wanted), ["--warn-error", *arguments]),
            *(environment, str(output)),
        ),
    )
    process.start()
    process.join(_SECONDS)
    if process.is_alive():
        process.kill()
        process.join()
    said = output.read_text(encoding="utf-8")
    assert process.exitcode == expect, said
    process.close()
    return said


def _run(
    directory: str,
    wanted: str,
    arguments: Sequence[str],
    environment: dict[str, str],
    output: str,
) -> None:
    from service.builds.dbt_process import run_parsed

    os.chdir(PROJECT_DIR)
    os.environ.clear()
    os.environ.update(environment)
    file = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(file, 1)
    os.dup2(file, 2)
    sys.exit(run_parsed(directory, wanted, list(arguments)))


def _manifest_dir() -> Path:
    if not _manifests:
        _manifests.append(Path(tempfile.mkdtemp(prefix="quintile-test-dbt-")))
        atexit.register(shutil.rmtree, _manifests[0])
    return _manifests[0]
