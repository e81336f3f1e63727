"""Answers that arrive one byte after the other, or that do not end, are read no further."""

from __future__ import annotations

import gzip
import socket
import threading
import time
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
import stamina
from pytest_httpserver import HTTPServer

from service.core.config import Settings
from service.core.http import (
    MAX_ANSWER_BYTES,
    AnswerTooLargeError,
    TransientError,
    decode_json,
    open_client,
    read_json,
    retry_transient,
    send,
)
from service.klaviyo.client import KlaviyoUnavailableError, open_klaviyo
from service.shopify.client import open_shopify
from service.shopify.errors import ShopifyUnservedError
from service.shopify.jsonl import DamagedFileError, read_blocks

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


@pytest.mark.parametrize("drop", [b"x", b'{"id": 1}\n'], ids=["no line ends", "lines"])
def test_a_file_ends_however_slowly_it_arrives(drop: bytes) -> None:
    with dripping(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n", drop) as url:
        began = time.monotonic()
        with pytest.raises(TransientError, match="the file took over"):
            list(read_blocks(url, None, 100, own=url, within=WITHIN))
        assert time.monotonic() - began < WITHIN + 5


def test_only_waiting_for_a_file_is_limited_and_not_using_it(httpserver: HTTPServer) -> None:
    line = b"x" * 300_000 + b"\n"
    httpserver.expect_request("/file").respond_with_data(line * 5)
    url = httpserver.url_for("/file")
    lines = []
    for block in read_blocks(url, None, 100, own=url, within=WITHIN):
        lines.append(block)
        time.sleep(WITHIN / 3)
    assert b"".join(lines) == line * 5


def test_a_file_whose_size_is_not_known_has_an_end(httpserver: HTTPServer) -> None:
    httpserver.expect_request("/file").respond_with_data(b"{}\n" * 1_000)
    url = httpserver.url_for("/file")
    with pytest.raises(DamagedFileError, match="more than 1000 bytes"):
        list(read_blocks(url, None, 100, own=url, most_bytes=1_000))


def too_large(httpserver: HTTPServer, path: str) -> str:
    """An address whose answer is JSON of 65 MiB, and 64 KiB on the way."""
    text = b'{"data": "' + b"x" * MAX_ANSWER_BYTES + b'"}'
    httpserver.expect_request(path).respond_with_data(
        gzip.compress(text, 1), headers={"Content-Encoding": "gzip"}
    )
    return httpserver.url_for(path)


def test_an_answer_is_decompressed_up_to_a_limit(httpserver: HTTPServer) -> None:
    url = too_large(httpserver, "/")
    with open_client({}, most_bytes=2**20) as client:
        tracemalloc.start()
        try:
            with pytest.raises(AnswerTooLargeError, match="more than 1 MiB"):
                retry_transient(lambda: send(client, "GET", url))
            assert tracemalloc.get_traced_memory()[1] < MAX_ANSWER_BYTES / 2
        finally:
            tracemalloc.stop()
    # It would be as large the next time.
    assert len(httpserver.log) == 1


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (b'{"a": "\xc3\xa4"}', {}),
        (gzip.compress(b'{"a": "\xc3\xa4"}'), {"Content-Encoding": "gzip"}),
        (b'{"a": "\xc3\xa4"}', {"Content-Encoding": "identity"}),
    ],
    # A name of its own, because what gzip writes has the time in it.
    ids=["plain", "gzip", "identity"],
)
def test_an_answer_is_what_was_sent(
    httpserver: HTTPServer, body: bytes, headers: dict[str, str]
) -> None:
    httpserver.expect_request("/").respond_with_data(body, headers={"X-Of": "it", **headers})
    with open_client({}) as client:
        answer = send(client, "GET", httpserver.url_for("/"))
    assert answer.json() == {"a": "\xe4"}
    assert (answer.status_code, answer.headers["X-Of"]) == (200, "it")
    assert answer.request.url == httpserver.url_for("/")


@pytest.mark.parametrize("encoding", ["br", "gzip"])
def test_an_answer_that_cannot_be_decompressed_is_a_failed_call(
    httpserver: HTTPServer, encoding: str
) -> None:
    httpserver.expect_request("/").respond_with_data(b"x", headers={"Content-Encoding": encoding})
    with open_client({}) as client, pytest.raises(TransientError, match="DecodingError"):
        send(client, "GET", httpserver.url_for("/"))


def test_providers_say_that_an_answer_is_too_large(
    settings: Settings, httpserver: HTTPServer
) -> None:
    path = f"/admin/api/{settings.shopify_api_version}/graphql.json"
    too_large(httpserver, path)
    too_large(httpserver, "/api/accounts")
    here = replace(
        settings,
        shopify_url=httpserver.url_for("").rstrip("/"),
        klaviyo_url=httpserver.url_for("").rstrip("/"),
    )
    with stamina.set_testing(True, attempts=2):
        with (
            open_shopify(here, "a.myshopify.com", "shpat_x") as shopify,
            # A smaller page may be served.
            pytest.raises(ShopifyUnservedError, match="its answer has more than 64 MiB"),
        ):
            shopify.run("shop")
        with (
            open_klaviyo(here, "pk_x") as klaviyo,
            pytest.raises(KlaviyoUnavailableError, match="its answer has more than 64 MiB"),
        ):
            klaviyo.get("/api/accounts", "/api/accounts")
    assert len(httpserver.log) == 2


def test_json_that_is_nested_too_deeply_is_not_json(httpserver: HTTPServer) -> None:
    deep = "[" * 200_000 + "]" * 200_000
    with pytest.raises(ValueError, match="nested"):
        read_json(deep)
    httpserver.expect_request("/").respond_with_data(deep)
    with open_client({}) as client:
        answer = send(client, "GET", httpserver.url_for("/"))
        with pytest.raises(TransientError, match="not JSON"):
            decode_json(answer)
