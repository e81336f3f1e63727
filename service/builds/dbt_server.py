"""A process that has dbt and the manifest in memory, and forks another for each run.

``python -m service.builds.dbt_server SOCKET IDLE_SECONDS DIRECTORY VARS``: it parses the manifest
(see :mod:`service.builds.dbt_process`), listens on the socket, and ends with its standard input or
after so long without a request. A request is one JSON object, :class:`DbtRequest`, which has the
database's URL, with the stream to print to. The answers are one byte when the run starts, and its
exit status. A run ends when its connection does.

Nothing is started before a fork: no thread and no connection to the database.
"""

from __future__ import annotations

import gc
import json
import os
import select
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dbt.cli.main import dbtRunner
from dbt.contracts.graph.manifest import Manifest
from dbt_common.clients.jinja import template_cache

from service.builds.dbt_process import parse, run_parsed, run_with

# dbt's static parser hangs in a fork of a process that has used it.
_ENVIRONMENT = {"DBT_STATIC_PARSER": "false"}
# Of one process; they do not affect the manifest. Python itself may set LC_CTYPE.
_OWN_VARIABLES = ("DBT_TARGET_PATH", "DBT_LOG_PATH", "PYTHONWARNINGS", "LC_CTYPE")


def main(path: Path, idle_seconds: int, directory: str, manifest_vars: str) -> int:
    """Serve on a socket."""
    # Of the terminal: the worker decides when its jobs end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parsed_in = _without_own(os.environ)
    os.environ.update(_ENVIRONMENT)
    manifest = _warm_up(directory, manifest_vars)
    if manifest is None or threading.active_count() > 1:
        return 1
    # Runs leave no zombies; their exit statuses go to who asked.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.socket(socket.AF_UNIX) as listener:
        unready = path.with_suffix(".new")
        listener.bind(str(unready))
        listener.listen(64)
        unready.rename(path)
        while True:
            ready, _, _ = select.select([listener, sys.stdin], [], [], idle_seconds)
            if listener not in ready:
                path.unlink(missing_ok=True)
                return 0
            connection, _ = listener.accept()
            if os.fork() == 0:
                listener.close()
                _run(connection, manifest, manifest_vars, parsed_in)
            connection.close()


def _warm_up(directory: str, manifest_vars: str) -> Manifest | None:
    """Parse the manifest, and what each run would compile and import."""
    gc.disable()
    manifest = parse(directory, manifest_vars).result
    if not isinstance(manifest, Manifest):
        return None
    for macro in manifest.macros.values():
        template_cache.get_node_template(macro)
    options = ("--quiet", "--no-write-json", "list", "--resource-type", "exposure")
    dbtRunner(manifest).invoke([*options, "--vars", manifest_vars, "--target-path", directory])
    gc.collect()
    # Pages that the collector does not write to stay shared with the runs.
    gc.freeze()
    return manifest


def _run(
    connection: socket.socket, manifest: Manifest, manifest_vars: str, parsed_in: Mapping[str, str]
) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    status = 1
    try:
        first, streams, _, _ = socket.recv_fds(connection, 4, 1)
        request: dict[str, Any] = json.loads(_read(connection, int.from_bytes(first, "big")))
        for number in (1, 2):
            os.dup2(streams[0], number)
        os.close(streams[0])
        os.chdir(request["project"])
        os.environ.clear()
        os.environ.update(request["environment"], **_ENVIRONMENT)
        threading.Thread(target=_end_with, args=[connection], daemon=True).start()
        connection.sendall(b"\0")
        rest = (request["guarantees"], request["arguments"])
        is_parsed = (manifest_vars, parsed_in) == (
            request["manifest_vars"],
            _without_own(request["environment"]),
        )
        if is_parsed:
            status = run_with(manifest, *rest)
        else:
            status = run_parsed(request["directory"], request["manifest_vars"], *rest)
    except BaseException:  # noqa: BLE001 - what an interpreter does at its end
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        connection.sendall(bytes([status]))
        os._exit(status)


def _without_own(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name not in _OWN_VARIABLES}


def _read(connection: socket.socket, size: int) -> bytes:
    parts = []
    while size:
        part = connection.recv(size)
        if not part:
            raise EOFError
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def _end_with(connection: socket.socket) -> None:
    """End when the other side of a connection does."""
    while connection.recv(1):
        pass
    # What is not committed is rolled back by the database.
    os._exit(1)


if __name__ == "__main__":
    # Not by the interpreter, which would take apart what it has loaded.
    os._exit(main(Path(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:5]))
