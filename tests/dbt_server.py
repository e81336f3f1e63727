"""A process that has imported dbt and forks another for each run: ``python -m tests.dbt_server``.

It listens on a unix socket and ends with its standard input. A run is asked for by one JSON object
and the three standard streams; its exit status is the answer. A run ends when its asker does.
``tests/dbt_client.py`` stands for a run towards code that starts processes, such as builds.

What dbt parses for a database of the tests' cluster is kept below ``tests.cluster.MANIFESTS``.
"""

from __future__ import annotations

import gc
import hashlib
import json
import os
import select
import shutil
import signal
import socket
import sys
import threading
import traceback
from pathlib import Path
from typing import Any

from dbt.cli.main import dbtRunner
from dbt.contracts.graph.manifest import Manifest
from dbt_common.clients.jinja import template_cache

from service.builds.dbt_process import run_parsed
from tests.cluster import MANIFESTS, is_ours

_NOWHERE = "postgresql://nobody@/nowhere?host=/nonexistent"
_PARSED = "partial_parse.msgpack"
# dbt's static parser hangs in a fork of a process that has used it.
_ENVIRONMENT = {"DBT_STATIC_PARSER": "false", "DBT_SEND_ANONYMOUS_USAGE_STATS": "false"}


def main(path: Path) -> None:
    """Serve on a socket, when a first run has imported what runs need."""
    warm = path.with_name("warm")
    _warm_up(warm)
    gc.collect()
    gc.freeze()
    # Children leave no zombies; their exit statuses go to who asked.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.socket(socket.AF_UNIX) as listener:
        unready = path.with_suffix(".new")
        listener.bind(str(unready))
        listener.listen(64)
        unready.rename(path)
        while True:
            ready, _, _ = select.select([listener, sys.stdin], [], [])
            if sys.stdin in ready:
                return
            connection, _ = listener.accept()
            if os.fork() == 0:
                listener.close()
                _run(connection)
            connection.close()


def _warm_up(directory: Path) -> None:
    """Parse the project, which needs no database, and keep the result for the next server."""
    directory.mkdir()
    kept = MANIFESTS / "nowhere" / _PARSED
    if kept.exists():
        shutil.copy(kept, directory)
    os.environ.update(
        QUINTILE_DATABASE_URL=_NOWHERE,
        DBT_TARGET_PATH=str(directory),
        DBT_LOG_PATH=str(directory),
        **_ENVIRONMENT,
    )
    gc.disable()
    quiet = ("--quiet", "--warn-error", "--no-write-json")
    parsed = dbtRunner().invoke([*quiet, "parse", "--vars", "{}"])
    assert isinstance(parsed.result, Manifest), parsed.exception
    # Else each run compiles those it uses: a quarter of the time of a small one.
    for macro in parsed.result.macros.values():
        template_cache.get_node_template(macro)
    dbtRunner(parsed.result).invoke([*quiet, "list", "--select", "stg_app__tenants"])
    kept.parent.mkdir(parents=True, exist_ok=True)
    unready = kept.with_name(f"{os.getpid()}.new")
    shutil.copy(directory / _PARSED, unready)
    unready.replace(kept)


def _run(connection: socket.socket) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    status = 1
    try:
        first, streams, _, _ = socket.recv_fds(connection, 4, 3)
        request: dict[str, Any] = json.loads(_read(connection, int.from_bytes(first, "big")))
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
            os.close(stream)
        os.chdir(request["directory"])
        os.environ.clear()
        os.environ.update(request["environment"], **_ENVIRONMENT)
        threading.Thread(target=_end_with, args=[connection.fileno()], daemon=True).start()
        if request["ends_with_caller"]:
            threading.Thread(target=_end_with, args=[0], daemon=True).start()
        manifest, variables, *arguments = request["arguments"]
        # Few tests read dbt's artifacts, which take a third of a second to write.
        writes = request.get("writes_artifacts") or "--no-write-json" in arguments
        options = [] if writes else ["--no-write-json"]
        status = run_parsed(_kept(manifest), variables, [*options, *arguments])
    except BaseException:  # noqa: BLE001 - what an interpreter does at its end
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        connection.sendall(status.to_bytes(4, "big"))
        os._exit(status)


def _kept(directory: str) -> str:
    """Where the manifest is kept that a run would keep in a directory: …/<slot>/<name>."""
    names = ("QUINTILE_TRANSFORM_DATABASE_URL", "QUINTILE_DATABASE_URL")
    own = next(filter(None, map(os.environ.get, names)), "")
    if not is_ours(own):
        return directory
    return str(
        MANIFESTS.joinpath(
            hashlib.sha256(own.encode()).hexdigest()[:16], *Path(directory).parts[-2:]
        )
    )


def _read(connection: socket.socket, size: int) -> bytes:
    parts = []
    while size:
        part = connection.recv(size)
        if not part:
            raise EOFError
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def _end_with(stream: int) -> None:
    """End when the other side of a stream does."""
    while os.read(stream, 1):
        pass
    # What is not committed is rolled back by the database.
    os._exit(1)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
