"""HTTP calls with retries: which failures are transient, and how long to wait.

Most calls are idempotent and are repeated when their answer is lost. For the others,
:class:`TransientError` says whether the call certainly had no effect. Headers, which hold the
credentials, never appear in an error or log.

No answer is read for ever or without end: a call has a time, and an answer a size, decompressed.
"""

from __future__ import annotations

import json
import math
import re
import ssl
import time
import zlib
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from functools import cache
from typing import Any, TypeVar

import httpcore
import httpx
import stamina

from service.core.metrics import count_throttled, count_upstream

T = TypeVar("T")

ATTEMPTS = 6
_FIRST_WAIT_SECONDS = 0.5
_LONGEST_WAIT_SECONDS = 30.0
# A call with a longer Retry-After fails instead of waiting.
MAX_RETRY_AFTER_SECONDS = 300.0
# For a whole call, however the answer arrives.
MAX_CALL_SECONDS = 180.0
# Of an answer that is not streamed. The largest pages have a tenth of it.
MAX_ANSWER_BYTES = 64 * 1024 * 1024
_PIECE_BYTES = 256 * 1024
# zlib's number for the gzip format.
_GZIP = 31
_LENGTH_HEADERS = frozenset({b"content-encoding", b"content-length", b"transfer-encoding"})
_A_DAY_SECONDS = 86_400.0
# 430 is Shopify's answer to calls that look like an attack, and ends by itself.
_TRANSIENT_STATUSES = frozenset({408, 425, 429, 430, *range(500, 600)})
# The call was rejected before anything was done.
_REJECTED_STATUSES = frozenset({429, 430})
_NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
_PAGE_TYPES = frozenset({"text/html", "application/xhtml+xml"})
_UNSTORABLE = re.compile(rb"\\u(?:0000|d[89a-f])", re.IGNORECASE)


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("a number out of range")
    return number


def _refuse(name: str) -> float:
    raise ValueError(f"{name} is no JSON")


# Python also takes NaN and Infinity, which PostgreSQL's jsonb does not.
_NUMBERS: dict[str, Any] = {"parse_float": _finite, "parse_constant": _refuse}
_DECODER = json.JSONDecoder(**_NUMBERS)


class TransientError(Exception):
    """A failure that may not recur at the next attempt.

    Args:
        reason: One phrase without secrets.
        retry_after: Seconds the server asked to wait, if it did.
        is_undone: Whether the call certainly had no effect: it was never sent or was rejected.
            Otherwise it may have taken effect and only its answer was lost.
    """

    def __init__(
        self, reason: str, *, retry_after: float | None = None, is_undone: bool = False
    ) -> None:
        super().__init__(reason)
        self.retry_after = retry_after
        self.is_undone = is_undone


class RefusedAnswerError(TransientError):
    """An answer that refuses the credential: such answers also come by mistake and pass.

    :func:`retry_transient` raises it only if every attempt ended with it.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason, is_undone=True)


class AnswerTooLargeError(TransientError):
    """An answer with more bytes than are read; the same call would get it again."""


# When the current request of this thread must have ended, by time.monotonic(); None for never.
_ends_at: ContextVar[float | None] = ContextVar("ends_at", default=None)


class _BoundedStream(httpcore.NetworkStream):
    """A connection whose reads end with the request: httpx limits each read, not all of them.

    A server that sends one byte after the other would otherwise hold a worker for ever.
    """

    def __init__(self, stream: httpcore.NetworkStream) -> None:
        self._stream = stream
        # For the body of an answer that is streamed: then no request is current.
        self.ends_at: float | None = None

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        ends_at = _ends_at.get() or self.ends_at
        if ends_at is not None:
            left = ends_at - time.monotonic()
            if left <= 0:
                raise httpcore.ReadTimeout("the request took too long")
            timeout = left if timeout is None else min(timeout, left)
        return self._stream.read(max_bytes, timeout)

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, timeout)

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        return _BoundedStream(self._stream.start_tls(ssl_context, server_hostname, timeout))

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


class _BoundedBackend(httpcore.NetworkBackend):
    """Opens connections as another backend does, and bounds their reads."""

    def __init__(self, backend: httpcore.NetworkBackend) -> None:
        self._backend = backend

    def connect_tcp(self, *arguments: Any, **options: Any) -> httpcore.NetworkStream:
        return _BoundedStream(self._backend.connect_tcp(*arguments, **options))


def _bound_reads(transport: httpx.BaseTransport | None) -> None:
    # httpx has no option for the backend of its connections.
    if isinstance(transport, httpx.HTTPTransport):
        pool = transport._pool  # noqa: SLF001
        pool._network_backend = _BoundedBackend(pool._network_backend)  # noqa: SLF001


class _CountedClient(httpx.Client):
    """A client whose requests are counted as calls to one provider.

    They end within a time, and their answers have a size.
    """

    def __init__(self, provider: str, within: float, most_bytes: int, **options: Any) -> None:
        super().__init__(**options)
        self._provider = provider
        self._within = within
        self._most_bytes = most_bytes
        for transport in (self._transport, *self._mounts.values()):
            _bound_reads(transport)

    def send(
        self, request: httpx.Request, *, stream: bool = False, **options: Any
    ) -> httpx.Response:
        """Send a request and count it; every request passes here.

        Raises:
            AnswerTooLargeError: The answer, which is not streamed, has too many bytes.
        """
        began = time.perf_counter()
        status = None
        token = _ends_at.set(time.monotonic() + self._within)
        try:
            response = super().send(request, stream=True, **options)
            status = response.status_code
            if not stream:
                return _whole(response, self._most_bytes)
            give_time(response, self._within)
            return response
        finally:
            _ends_at.reset(token)
            count_upstream(self._provider, status, time.perf_counter() - began)
            if status == httpx.codes.TOO_MANY_REQUESTS:
                count_throttled(self._provider)


def open_client(
    headers: dict[str, str],
    *,
    provider: str = "other",
    timeout: float = 60,
    within: float = MAX_CALL_SECONDS,
    most_bytes: int = MAX_ANSWER_BYTES,
) -> httpx.Client:
    """A client with timeouts and limits that follows no redirects.

    Args:
        headers: Sent with every request.
        provider: The label of its calls in the metrics.
        timeout: Seconds without data until a request fails.
        within: Seconds after which no more of an answer is read. The body of an answer that is
            streamed, such as a large file, gets more by :func:`give_time`.
        most_bytes: The most bytes of an answer that is not streamed, when decompressed.
    """
    return _CountedClient(
        provider,
        within,
        most_bytes,
        headers={"User-Agent": "Quintile", "Accept-Encoding": "gzip", **headers},
        timeout=httpx.Timeout(timeout, connect=10),
        verify=_tls(),
    )


@cache
def _tls() -> ssl.SSLContext:
    """Which certificates are trusted; one for all clients, because they take 20 ms to read."""
    return httpx.create_ssl_context()


def give_time(response: httpx.Response, seconds: float) -> None:
    """Let the body of an answer that is streamed be read for some seconds from now on."""
    stream = response.extensions.get("network_stream")
    if isinstance(stream, _BoundedStream):
        stream.ends_at = time.monotonic() + seconds


def decoded_pieces(response: httpx.Response) -> Iterator[bytes]:
    """The body of a streamed answer, decompressed no further than it is read.

    A few bytes may become very many, and httpx decompresses whatever has arrived at once.

    Raises:
        httpx.DecodingError: It is not compressed as it says, or in another way than with gzip.
    """
    encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding == "identity":
        yield from response.iter_raw(_PIECE_BYTES)
        return
    if encoding != "gzip":
        raise httpx.DecodingError(f"compressed as {encoding[:20]}", request=response.request)
    unpacked = zlib.decompressobj(_GZIP)
    # An answer without a body, such as 204, may say how it would be compressed.
    is_whole = True
    try:
        for packed in response.iter_raw(_PIECE_BYTES):
            is_whole, rest = False, packed
            while rest:
                yield unpacked.decompress(rest, _PIECE_BYTES)
                rest = unpacked.unconsumed_tail
        yield unpacked.flush()
    except zlib.error:
        raise httpx.DecodingError("not gzip", request=response.request) from None
    if not (is_whole or unpacked.eof):
        raise httpx.DecodingError("the gzip stream breaks off", request=response.request)


def _whole(response: httpx.Response, most_bytes: int) -> httpx.Response:
    """The answer with its whole body, which must not be larger."""
    body = bytearray()
    try:
        for piece in decoded_pieces(response):
            body += piece
            if len(body) > most_bytes:
                raise AnswerTooLargeError(f"its answer has more than {most_bytes / 2**20:.0f} MiB")
    finally:
        response.close()
    whole = httpx.Response(
        response.status_code,
        headers=[(k, v) for k, v in response.headers.raw if k.lower() not in _LENGTH_HEADERS],
        content=bytes(body),
        request=response.request,
        extensions=response.extensions,
    )
    whole.next_request = response.next_request
    return whole


def retry_transient(call: Callable[[], T], *, attempts: int = ATTEMPTS) -> T:
    """Call until it stops raising TransientError, with growing waits or the server's Retry-After.

    Raises:
        RefusedAnswerError: Every attempt was refused.
        TransientError: The last attempt failed, Retry-After exceeds MAX_RETRY_AFTER_SECONDS, or
            the answer is too large.
    """
    refusals_only = True
    for attempt in stamina.retry_context(
        on=_wait_for,
        attempts=attempts,
        timeout=None,
        wait_initial=_FIRST_WAIT_SECONDS,
        wait_max=_LONGEST_WAIT_SECONDS,
        wait_jitter=_FIRST_WAIT_SECONDS,
    ):
        with attempt:
            try:
                return call()
            except RefusedAnswerError as error:
                if refusals_only:
                    raise
                raise TransientError(str(error), is_undone=True) from None
            except TransientError:
                refusals_only = False
                raise
    raise AssertionError("a retry context ends with a return or an exception")


def send(client: httpx.Client, method: str, url: str, **content: Any) -> httpx.Response:
    """Send one request and return its answer.

    Raises:
        TransientError: No complete answer arrived, it is too large, or its status is a transient
            failure's.
    """
    try:
        response = client.request(method, url, **content)
    except httpx.RequestError as error:
        # Only the type: some of httpx's messages quote a header.
        raise TransientError(
            f"the connection failed ({type(error).__name__})",
            is_undone=isinstance(error, _NEVER_SENT),
        ) from None
    if response.status_code in _TRANSIENT_STATUSES:
        raise TransientError(
            f"it answered with status {response.status_code}",
            retry_after=parse_retry_after(response.headers.get("Retry-After")),
            is_undone=response.status_code in _REJECTED_STATUSES,
        )
    return response


def parse_retry_after(retry_after: str | None) -> float | None:
    """Retry-After in seconds, at most a day; its other form, a date, is ignored."""
    try:
        seconds = float(retry_after or "")
    except ValueError:
        return None
    return min(max(seconds, 0.1), _A_DAY_SECONDS) if math.isfinite(seconds) else None


def is_transient_status(status: int) -> bool:
    """Whether a status says that the same request may succeed later."""
    return status in _TRANSIENT_STATUSES


def is_html_page(response: httpx.Response) -> bool:
    """Whether the body is a web page, as gateways in front of an API answer with."""
    media_type = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    return media_type in _PAGE_TYPES or response.content[:64].lstrip()[:1] == b"<"


def decode_json(response: httpx.Response) -> Any:
    r"""The body as JSON, without what PostgreSQL's text cannot hold.

    That is U+0000 and unpaired surrogates, which arrive as \u escapes.

    Raises:
        TransientError: The body is not JSON: truncated, nested too deeply, or a gateway's page.
    """
    try:
        body = response.json(**_NUMBERS)
        return storable(body) if _UNSTORABLE.search(response.content) else body
    except (ValueError, RecursionError):
        raise TransientError("it answered with something that is not JSON") from None


def load_json(text: str) -> Any:
    """A JSON document, without what PostgreSQL's text cannot hold.

    Raises:
        ValueError: It is not JSON, or is nested too deeply.
    """
    try:
        return storable(_DECODER.decode(text))
    except RecursionError:
        raise ValueError("nested too deeply") from None


def read_json(text: str) -> Any:
    """One line of JSON, without what PostgreSQL's text cannot hold.

    Raises:
        ValueError: It is not one JSON value, or is nested too deeply.
    """
    try:
        value, end = _DECODER.raw_decode(text)
        if end != len(text):
            raise ValueError("more than one JSON value")
        is_odd = "\\u" in text and _UNSTORABLE.search(text.encode("utf-8", "surrogatepass"))
        return storable(value) if is_odd else value
    except RecursionError:
        raise ValueError("nested too deeply") from None


def storable(value: Any) -> Any:
    """A JSON value without U+0000 and unpaired surrogates."""
    if isinstance(value, str):
        whole = value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        return whole.replace("\0", "")
    if isinstance(value, list):
        return [storable(item) for item in value]
    if isinstance(value, dict):
        return {storable(key): storable(item) for key, item in value.items()}
    return value


def _wait_for(error: Exception) -> bool | float:
    if not isinstance(error, TransientError) or isinstance(error, AnswerTooLargeError):
        return False
    if error.retry_after is None:
        return True
    return error.retry_after if error.retry_after <= MAX_RETRY_AFTER_SECONDS else False
