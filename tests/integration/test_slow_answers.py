"""Answers that arrive one byte after the other end with the call's time."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from service.core.http import TransientError, open_client, send

WITHIN = 1.0


@contextmanager
def dripping(first: bytes, drop: bytes) -> Iterator[str]:
    """A server that answers with some bytes, and then with a few more all the time."""
    server = socket.create_server(("127.0.0.1", 0))
    is_over = threading.Event()

    def serve() -> None:
        connection, _ = server.accept()
        with connection:
            connection.recv(65536)
            connection.sendall(first)
            while not is_over.wait(0.05):
                try:
                    connection.sendall(drop)
                except OSError:
                    return

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.getsockname()[1]}/"
    finally:
        is_over.set()
        server.close()
        thread.join()


@pytest.mark.parametrize(
    ("first", "drop"),
    [
        (b"HTTP/1.1 200 OK\r\n", b"X-More: y\r\n"),
        (b"", b"HTTP/1.1 103 Early Hints\r\n\r\n"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n", b"x"),
    ],
    ids=["headers", "early hints", "body"],
)
def test_a_call_ends_however_slowly_its_answer_arrives(first: bytes, drop: bytes) -> None:
    with dripping(first, drop) as url, open_client({}, timeout=30, within=WITHIN) as client:
        began = time.monotonic()
        with pytest.raises(TransientError, match="ReadTimeout"):
            send(client, "GET", url)
        assert time.monotonic() - began < WITHIN + 5
