"""A bulk operation's file: downloaded in blocks of whole lines, however often the line breaks.

Its URL is signed and opens the file to whoever has it: it is never logged, and no access token goes
to where it leads.
"""

from __future__ import annotations

import queue
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Generic, TypeVar

import httpx

from service.core.errors import QuintileError
from service.core.http import ATTEMPTS, TransientError, is_transient_status, open_client

T = TypeVar("T")

# Large enough to be worth a statement, small enough for a dozen of them to be nothing.
BLOCK_BYTES = 4 * 1024 * 1024
_TURN_SECONDS = 0.0005
_FIRST_WAIT_SECONDS = 0.2
_LONGEST_WAIT_SECONDS = 10.0


class FileGoneError(QuintileError):
    """The file of a bulk operation cannot be had any more."""


class DamagedFileError(QuintileError):
    """The file of a bulk operation is not what Shopify said it would be."""


def read_blocks(url: str, size: int | None, block_bytes: int = BLOCK_BYTES) -> Iterator[bytes]:
    """The lines of the file at ``url``, in blocks that end where a line ends.

    A download that breaks off goes on where it was, or begins anew and leaves out what has been
    handed on.

    Args:
        url: Where the file is.
        size: How many bytes it has, if that is known.
        block_bytes: How many to hand on at once, and somewhat more.

    Raises:
        FileGoneError: It is not there, or not any more.
        DamagedFileError: It is shorter or longer than it should be.
        TransientError: It cannot be read to the end, after several tries.
    """
    handed_on = 0
    failures = 0
    with open_client({"Accept-Encoding": "identity"}, provider="shopify") as http:
        while True:
            begun_at = handed_on
            try:
                for block in _blocks(http, url, handed_on, block_bytes):
                    handed_on += len(block)
                    yield block
                break
            except TransientError:
                failures = 1 if handed_on > begun_at else failures + 1
                if failures >= ATTEMPTS:
                    raise
                time.sleep(min(_FIRST_WAIT_SECONDS * 2**failures, _LONGEST_WAIT_SECONDS))
    if size is not None and handed_on != size:
        raise DamagedFileError(f"A file of {size} bytes came as one of {handed_on}.")


def _blocks(http: httpx.Client, url: str, begin: int, block_bytes: int) -> Iterator[bytes]:
    held = bytearray()
    for chunk in _chunks(http, url, begin):
        held += chunk
        if len(held) >= block_bytes and (end := held.rfind(b"\n") + 1):
            yield bytes(held[:end])
            del held[:end]
    if held:
        yield bytes(held)


def _chunks(http: httpx.Client, url: str, begin: int) -> Iterator[bytes]:
    """What the file holds from a byte on, whatever the server thinks of ranges."""
    headers = {"Range": f"bytes={begin}-"} if begin else {}
    try:
        with http.stream("GET", url, headers=headers) as response:
            _check_status(response)
            skip = begin - _first_byte(response, begin)
            for chunk in response.iter_bytes():
                if skip >= len(chunk):
                    skip -= len(chunk)
                    continue
                yield chunk[skip:] if skip else chunk
                skip = 0
    except httpx.RequestError as error:
        # The kind of failure only: some of httpx's messages quote the URL.
        raise TransientError(f"the download failed ({type(error).__name__})") from None


def _check_status(response: httpx.Response) -> None:
    if response.status_code in (httpx.codes.OK, httpx.codes.PARTIAL_CONTENT):
        return
    if is_transient_status(response.status_code):
        raise TransientError(f"the download was answered with status {response.status_code}")
    raise FileGoneError(f"The file was answered with status {response.status_code}.")


def _first_byte(response: httpx.Response, begin: int) -> int:
    """Which byte of the file the answer begins with; a server may disregard the range."""
    if response.status_code == httpx.codes.OK:
        return 0
    given = response.headers.get("Content-Range", "")
    first = given.removeprefix("bytes ").split("-")[0]
    # Of a compressed file the range would be one of compressed bytes.
    if "Content-Encoding" in response.headers or not first.isdecimal() or int(first) > begin:
        raise FileGoneError("The file came in a part that was not asked for.")
    return int(first)


@contextmanager
def prefetched(items: Iterator[T]) -> Iterator[Iterator[T]]:
    """The same items, made by a thread one ahead of whoever takes them; it ends with the block.

    While the database is at one, the next is downloaded and parsed. Threads of a process that does
    this take turns more often from then on: a statement's answer would otherwise wait 5 ms for the
    parser each time it comes in, which doubled the time a backfill takes.
    """
    sys.setswitchinterval(min(sys.getswitchinterval(), _TURN_SECONDS))
    ahead = _Ahead(items)
    thread = threading.Thread(target=ahead.make, name="prefetch", daemon=True)
    thread.start()
    try:
        yield ahead.take()
    finally:
        ahead.stopped.set()
        thread.join()


class _Ahead(Generic[T]):
    """Items handed from the thread that makes them to the one that takes them."""

    def __init__(self, items: Iterator[T]) -> None:
        self._items = items
        self._ready: queue.Queue[tuple[T, None] | tuple[None, BaseException | None]]
        self._ready = queue.Queue(maxsize=1)
        self.stopped = threading.Event()

    def make(self) -> None:
        error: BaseException | None = None
        try:
            for item in self._items:
                if not self._put((item, None)):
                    return
        except BaseException as caught:  # noqa: BLE001 - handed on, and raised where it is awaited
            error = caught
        self._put((None, error))

    def take(self) -> Iterator[T]:
        while True:
            item, error = self._ready.get()
            if error is not None:
                raise error
            if item is None:
                return
            yield item

    def _put(self, entry: tuple[T, None] | tuple[None, BaseException | None]) -> bool:
        while not self.stopped.is_set():
            with suppress(queue.Full):
                self._ready.put(entry, timeout=0.1)
                return True
        return False
