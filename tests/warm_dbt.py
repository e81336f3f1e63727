"""dbt as builds run it, without its start.

``tests.dbt_server`` has imported dbt and forks a process for each run, and what was parsed for a
database serves the next one with its name, also in later test runs. A run gives the same result
as the plain command does, which ``tests.integration.test_plain_dbt`` checks.
"""

from __future__ import annotations

import atexit
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from service.builds.run import manifest_vars
from service.core.config import PROJECT_DIR

_SECONDS = 300


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
    manifest = manifests / "-".join(["manifest", *variables])
    request = {
        "arguments": [str(manifest), json.dumps(variables), *arguments],
        "directory": str(project),
        "environment": {**plain_environment(), **environment},
        "ends_with_caller": False,
        "writes_artifacts": writes_artifacts,
    }
    body = json.dumps(request).encode()
    with (
        tempfile.TemporaryFile() as output,
        Path(os.devnull).open() as nothing,
        socket.socket(socket.AF_UNIX) as connection,
    ):
        connection.settimeout(_SECONDS)
        connection.connect(_server())
        streams = [nothing.fileno(), output.fileno(), output.fileno()]
        socket.send_fds(connection, [len(body).to_bytes(4, "big")], streams)
        connection.sendall(body)
        answer = connection.recv(4)
        output.seek(0)
        printed = output.read().decode()
    assert answer, printed
    return int.from_bytes(answer, "big"), printed


def plain_environment() -> dict[str, str]:
    """This process's environment without what says how a database is reached."""
    ours = ("QUINTILE_", "DBT_", "PG")
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)}


def warm_command() -> list[str]:
    """What a build starts instead of a new process of dbt's."""
    return [sys.executable, "-I", "-S", str(Path(__file__).with_name("dbt_client.py")), _server()]


@cache
def _server() -> str:
    """Start the server, which lives as long as this process; the path of its socket."""
    directory = Path(tempfile.mkdtemp(prefix="quintile-test-dbt-"))
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    path = directory / "socket"
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.dbt_server", str(path)],
        cwd=PROJECT_DIR,
        # Its children leave semaphores of dbt's to the tracker of resources, which says so.
        env={
            **os.environ,
            "PYTHONWARNINGS": "ignore::UserWarning:multiprocessing.resource_tracker",
        },
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
    )

    def stop() -> None:
        if process.stdin:
            process.stdin.close()
        process.wait()

    atexit.register(stop)
    until = time.monotonic() + _SECONDS
    while not path.exists():
        assert process.poll() is None, "the server of dbt did not start"
        assert time.monotonic() < until, "the server of dbt takes too long to start"
        time.sleep(0.01)
    return str(path)
