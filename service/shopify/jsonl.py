"""Download a bulk operation's file in blocks of whole lines, and resume when the download breaks.

The file's URL is signed, so it grants access: it is never logged, and no access token is sent
to it. It is an answer, so it may lead only to where Shopify keeps files, and what comes from there
is read in pieces of limited size, decompressed or not, for a limited time.
"""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar
from urllib.parse import urlsplit

import httpx

from service.core.errors import QuintileError
from service.core.http import (
    ATTEMPTS,
    TransientError,
    decoded_pieces,
    give_time,
    is_transient_status,
    open_client,
)

T = TypeVar("T")

# An order with all its lines has less than a hundredth of it.
_LONGEST_LINE_BYTES = 32 * 1024 * 1024
# A hundred million orders; a file whose size is not known may have no more.
_MOST_BYTES = 128 * 1024**3
# Of waiting for data, not of using it: for a piece of a quarter of a MiB, and for the whole file.
_PIECE_SECONDS = 300.0
MAX_FILE_SECONDS = 6 * 3600.0
# Where Shopify keeps results of bulk operations and uploads: Google's storage and its own domains.
_FILE_HOSTS = (".storage.googleapis.com", ".shopify.com", ".myshopify.com", ".shopifycloud.com")

# Large enough for few statements, small enough to hold a dozen blocks in memory.
BLOCK_BYTES = 4 * 1024 * 1024
_SWITCH_SECONDS = 0.0005
_FIRST_WAIT_SECONDS = 0.2
_LONGEST_WAIT_SECONDS = 10.0


class FileGoneError(QuintileError):
    """The file of a bulk operation is no longer available."""


class DamagedFileError(QuintileError):
    """The file of a bulk operation is incomplete or cannot be read."""


class _Allowance:
    """The seconds of waiting for data that a file has left."""

    def __init__(self, seconds: float) -> None:
        self.left = seconds

    def pieces(self, response: httpx.Response) -> Iterator[bytes]:
        """The body in pieces, each of which must arrive in time."""
        pieces = decoded_pieces(response)
        while True:
            began = time.monotonic()
            give_time(response, min(self.left, _PIECE_SECONDS))
            try:
                piece = next(pieces, None)
            finally:
                self.left -= time.monotonic() - began
            if piece is None:
                return
            yield piece


def read_blocks(
    url: str,
    size: int | None,
    block_bytes: int = BLOCK_BYTES,
    *,
    own: str = "",
    within: float = MAX_FILE_SECONDS,
    most_bytes: int = _MOST_BYTES,
) -> Iterator[bytes]:
    """The file at ``url``, in blocks of whole lines.

    A broken download continues where it stopped. If the server ignores the range, it starts again
    and skips what has been read.

    Args:
        url: The file's URL.
        size: Its size in bytes, if known.
        block_bytes: The least size of a block, but for the last.
        own: A URL whose server may have the file, too: where QUINTILE_SHOPIFY_URL leads.
        within: Seconds that may be spent waiting for the file, with all attempts.
        most_bytes: The most bytes, decompressed.

    Raises:
        FileGoneError: The file is not available, or not at Shopify.
        DamagedFileError: It is shorter or longer than ``size``, or a line is too long.
        TransientError: It cannot be read to the end after several attempts, or in time.
    """
    check_file_url(url, own)
    most = most_bytes if size is None else min(size, most_bytes)
    allowance = _Allowance(within)
    read = 0
    failures = 0
    with open_client({"Accept-Encoding": "identity"}, provider="shopify") as http:
        while True:
            begin = read
            try:
                for block in _blocks(http, url, begin, block_bytes, allowance):
                    read += len(block)
                    if read > most:
                        raise DamagedFileError(f"The file has more than {most} bytes.")
                    yield block
                break
            except TransientError:
                if allowance.left <= 0:
                    raise TransientError(f"the file took over {within / 60:.0f} minutes") from None
                failures = 1 if read > begin else failures + 1
                if failures >= ATTEMPTS:
                    raise
                time.sleep(min(_FIRST_WAIT_SECONDS * 2**failures, _LONGEST_WAIT_SECONDS))
    if size is not None and read != size:
        raise DamagedFileError(f"The file has {read} bytes instead of {size}.")


def _blocks(
    http: httpx.Client, url: str, begin: int, block_bytes: int, allowance: _Allowance
) -> Iterator[bytes]:
    held = bytearray()
    for chunk in _chunks(http, url, begin, allowance):
        held += chunk
        if len(held) >= block_bytes and (end := held.rfind(b"\n") + 1):
            yield bytes(held[:end])
            del held[:end]
        if len(held) > block_bytes + _LONGEST_LINE_BYTES:
            raise DamagedFileError("A line of the file is too long.")
    if held:
        yield bytes(held)


def _chunks(http: httpx.Client, url: str, begin: int, allowance: _Allowance) -> Iterator[bytes]:
    """The file from a byte on, whether or not the server supports ranges."""
    headers = {"Range": f"bytes={begin}-"} if begin else {}
    try:
        with http.stream("GET", url, headers=headers) as response:
            _check_status(response)
            skip = begin - _first_byte(response, begin)
            for chunk in allowance.pieces(response):
                if skip >= len(chunk):
                    skip -= len(chunk)
                    continue
                yield chunk[skip:] if skip else chunk
                skip = 0
    except httpx.DecodingError as error:
        raise DamagedFileError(f"The file cannot be decompressed: {error}.") from None
    except httpx.RequestError as error:
        # The kind of failure only: some of httpx's messages quote the URL.
        raise TransientError(f"the download failed ({type(error).__name__})") from None


def check_file_url(url: str, own: str = "") -> None:
    """Check that an address that Shopify has answered is one of its files.

    Raises:
        FileGoneError: It is not https, or on another server.
    """
    refused = FileGoneError("Shopify named a file that is not on its servers; it was not fetched.")
    try:
        parts = urlsplit(url)
    except ValueError:
        raise refused from None
    allowed = urlsplit(own)
    if own and (parts.scheme, parts.netloc) == (allowed.scheme, allowed.netloc):
        return
    host = (parts.hostname or "").lower()
    if (
        parts.scheme != "https"
        or parts.username is not None
        or not f".{host}".endswith(_FILE_HOSTS)
    ):
        raise refused


def _check_status(response: httpx.Response) -> None:
    if response.status_code in (httpx.codes.OK, httpx.codes.PARTIAL_CONTENT):
        return
    if is_transient_status(response.status_code):
        raise TransientError(f"the download was answered with status {response.status_code}")
    raise FileGoneError(f"The file was answered with status {response.status_code}.")


def _first_byte(response: httpx.Response, begin: int) -> int:
    """The first byte of the file in the response: 0 if the server ignored the range."""
    if response.status_code == httpx.codes.OK:
        return 0
    given = response.headers.get("Content-Range", "")
    first = given.removeprefix("bytes ").split("-")[0]
    # The range of a compressed file would count compressed bytes.
    if "Content-Encoding" in response.headers or not first.isdecimal() or int(first) > begin:
        raise FileGoneError("The server answered with another part of the file.")
    return int(first)


@contextmanager
def prefetched(items: Iterator[T]) -> Iterator[Iterator[T]]:
    """The same items, produced up to two ahead by a thread that ends with the block.

    While the database loads one block, the thread downloads and parses the next. This lowers the
    process's thread switch interval: with the usual 5 ms each statement's answer waits that long
    for the parser, which doubled the time of a backfill.
    """
    sys.setswitchinterval(min(sys.getswitchinterval(), _SWITCH_SECONDS))
    with ThreadPoolExecutor(1, thread_name_prefix="prefetch") as thread:
        ahead = deque(thread.submit(next, items, None) for _ in range(2))

        def take() -> Iterator[T]:
            while (item := ahead.popleft().result()) is not None:
                ahead.append(thread.submit(next, items, None))
                yield item

        try:
            yield take()
        finally:
            thread.shutdown(cancel_futures=True)
