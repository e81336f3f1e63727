"""Configuration of gunicorn for the web service: ``--config python:service.web_server``.

Its gevent workers serve each connection in a greenlet, so a client that sends or reads slowly costs
a little memory and delays no other client. The deadlines here end such connections.

Gunicorn's processes share their Prometheus counters through a directory, so that each process can
answer with the metrics of all.
"""

from __future__ import annotations

import gc
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable
from typing import Any

# Importing service.core.metrics for the name would load it before the directory is set.
_SHARED_DIR = "PROMETHEUS_MULTIPROC_DIR"

# Seconds in which the next request's headers must arrive: also the time for which an idle
# connection stays open, and for which it keeps a stopping process waiting.
keepalive = 5
# It is not controlled by a socket, and the service may not write into its home directory.
control_socket_disable = True
_BODY_SECONDS = 30
# For each block of an answer; an answer that is not streamed is one.
_SEND_SECONDS = 30


def on_starting(_server: Any) -> None:
    """Create the directory before the first process starts."""
    os.environ[_SHARED_DIR] = tempfile.mkdtemp(prefix="quintile-metrics-")


def post_worker_init(worker: Any) -> None:
    """Give the requests of a process their deadlines, and exempt the program from collection."""
    worker.wsgi = limit_time(worker.wsgi)
    # A full collection of garbage reads every object of the program, and all requests wait for it:
    # 80 ms. Modules and routes stay for as long as the process, so they need no such reading.
    gc.collect()
    gc.freeze()


def child_exit(_server: Any, worker: Any) -> None:
    """Keep the counters of a process after its end."""
    from prometheus_client.multiprocess import mark_process_dead

    mark_process_dead(worker.pid)  # type: ignore[no-untyped-call]


def on_exit(_server: Any) -> None:
    """Delete the counters with the service's end."""
    shutil.rmtree(os.environ[_SHARED_DIR], ignore_errors=True)


def limit_time(
    app: Callable[[dict[str, Any], Any], Iterable[bytes]],
) -> Callable[[dict[str, Any], Any], Iterable[bytes]]:
    """An application whose clients have a limited time to send a body and to read an answer."""

    def limited(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        environ["gunicorn.socket"].settimeout(_SEND_SECONDS)
        environ["wsgi.input"] = _Body(environ["wsgi.input"])
        return app(environ, start_response)

    return limited


class _Body:
    """A request's body that has to arrive in time.

    Args:
        body: The body, as the server reads it from the connection.
    """

    def __init__(self, body: Any) -> None:
        self._body = body
        self._until = time.monotonic() + _BODY_SECONDS

    def read(self, size: int = -1) -> bytes:
        """Read so many bytes, or all.

        Raises:
            RequestTimeout: They did not arrive in time; answered with 408.
            BadRequest: A chunk of the body is malformed; answered with 400.
        """
        # Not at the start: gunicorn reads this file before its workers patch the standard library.
        from gevent import Timeout
        from gunicorn.http.errors import ParseException
        from werkzeug.exceptions import BadRequest, RequestTimeout

        left = max(0.0, self._until - time.monotonic())
        with Timeout(left, RequestTimeout("The body did not arrive in time.")):
            try:
                return bytes(self._body.read(size))
            except ParseException:
                raise BadRequest("The body is not valid HTTP.") from None
