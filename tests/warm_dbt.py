"""dbt as workers run it: forked from a process that has it in memory.

A run gives the same result as the plain command does, which ``tests.integration.test_plain_dbt``
checks. What was parsed for a database of the tests' cluster is kept below ``MANIFESTS``, and serves
the next one with its name, also in later test runs.
"""

from __future__ import annotations

import atexit
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path

from service.builds.dbt_runs import DbtRequest, DbtRun, ForkedRun, WarmDbt
from service.builds.run import manifest_vars
from service.core.config import PROJECT_DIR
from tests.cluster import MANIFESTS, is_ours

_NOWHERE = "postgresql://none@/nowhere?host=/nonexistent"
_PARSED = "partial_parse.msgpack"
_IDLE_SECONDS = 24 * 3600
# As the server of dbt, also for plain runs: dbt parses again when it changes.
_ENVIRONMENT = {"DBT_STATIC_PARSER": "false", "DBT_SEND_ANONYMOUS_USAGE_STATS": "false"}


class KeptDbt:
    """dbt for builds in the tests' processes, by the server at a socket."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @contextmanager
    def start(self, request: DbtRequest) -> Iterator[DbtRun]:
        directory = kept_directory(request.directory, request.environment)
        with ForkedRun(self._path, replace(request, directory=directory)) as run:
            yield run


def dbt(
    url: str,
    target: Path,
    *arguments: str,
    expect: int = 0,
    writes_artifacts: bool = False,
    **environment: str,
) -> str:
    """Run dbt on the database; its output, which is an error when it exits otherwise."""
    given = json.loads(arguments[arguments.index("--vars") + 1]) if "--vars" in arguments else {}
    status, printed = run(
        PROJECT_DIR,
        target / "plain",
        manifest_vars(given),
        *("--warn-error", *arguments),
        writes_artifacts=writes_artifacts,
        environment={
            "QUINTILE_DATABASE_URL": url,
            "DBT_PROFILES_DIR": str(PROJECT_DIR),
            "DBT_TARGET_PATH": str(target),
            "DBT_LOG_PATH": str(target),
            **environment,
        },
    )
    assert status == expect, printed
    return printed


def run(
    project: Path,
    manifests: Path,
    variables: Mapping[str, object],
    *arguments: str,
    environment: Mapping[str, str],
    writes_artifacts: bool = False,
) -> tuple[int, str]:
    """Run dbt in a project on the manifest that the variables make; exit status and output.

    The manifest is kept below a directory, or with those of its database in the tests' cluster.
    """
    # Few tests read dbt's artifacts, which take a third of a second to write.
    options = [] if writes_artifacts else ["--no-write-json"]
    request = DbtRequest(
        directory=str(manifests / "-".join(["manifest", *variables])),
        manifest_vars=json.dumps(variables),
        arguments=(*options, *arguments),
        environment={**plain_environment(), **environment, **_ENVIRONMENT},
        project=str(project),
    )
    with server().start(request) as running:
        printed = "".join(running.lines())
        return running.wait(), printed


def plain_environment() -> dict[str, str]:
    """This process's environment without what says how a database is reached."""
    ours = ("QUINTILE_", "DBT_", "PG")
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)}


def server() -> KeptDbt:
    """dbt for builds in this process, by a server that lives as long as this process."""
    return KeptDbt(server_socket())


@cache
def server_socket() -> Path:
    """Start the server. It parses the project, which needs no database."""
    directory = Path(tempfile.mkdtemp(prefix="quintile-test-dbt-"))
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    kept = MANIFESTS / "nowhere" / _PARSED
    if kept.exists():
        shutil.copy(kept, directory)
    parsed = DbtRequest(
        directory=str(directory),
        manifest_vars="{}",
        arguments=(),
        environment={
            **plain_environment(),
            "QUINTILE_DATABASE_URL": _NOWHERE,
            "DBT_PROFILES_DIR": str(PROJECT_DIR),
            "DBT_TARGET_PATH": str(directory),
            "DBT_LOG_PATH": str(directory),
            **_ENVIRONMENT,
        },
    )
    warm = WarmDbt(_IDLE_SECONDS, parsed)
    path = warm.socket(parsed)
    atexit.register(warm.close)
    kept.parent.mkdir(parents=True, exist_ok=True)
    unready = kept.with_name(f"{os.getpid()}.new")
    shutil.copy(directory / _PARSED, unready)
    unready.replace(kept)
    return path


def kept_directory(directory: str, environment: Mapping[str, str]) -> str:
    """Where the manifest is kept that a run would keep in a directory: …/<slot>/<name>."""
    names = ("QUINTILE_TRANSFORM_DATABASE_URL", "QUINTILE_DATABASE_URL")
    own = next(filter(None, map(environment.get, names)), "")
    if not is_ours(own):
        return directory
    digest = hashlib.sha256(own.encode()).hexdigest()[:16]
    return str(MANIFESTS.joinpath(digest, *Path(directory).parts[-2:]))
