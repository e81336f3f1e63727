"""One attempt to deliver a message, signed as in Standard Webhooks (standardwebhooks.com).

The signature covers the id, the time and the body, so they cannot be altered or replayed. An
example of a receiver's check is in docs/webhooks.md.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import httpx

from service.core.config import Settings
from service.core.http import parse_retry_after
from service.core.metrics import count_upstream
from service.notifications.address import UnreachableAddressError, look_up
from service.notifications.endpoints import SECRET_PREFIX, Endpoint

# For the whole attempt: a receiver may send one byte after the other for ever. The specification
# recommends 15 to 30 seconds.
DEADLINE_SECONDS = 15.0
_PORTS = {"https": 443, "http": 80}
_PROVIDER = "webhooks"


@dataclass(frozen=True)
class Answer:
    """What came of an attempt.

    Args:
        status: The receiver's status; None without an answer.
        error: Why the message counts as not delivered.
        retry_after: Seconds that the receiver asked to wait, if it did.
    """

    status: int | None = None
    error: str | None = None
    retry_after: float | None = None

    @property
    def is_success(self) -> bool:
        """Whether the receiver accepted the message."""
        return self.error is None


def deliver(settings: Settings, endpoint: Endpoint, message_id: str, body: bytes) -> Answer:
    """Post a message once, within :data:`DEADLINE_SECONDS`; the answer's body is not read.

    Args:
        settings: Whether private addresses are allowed.
        endpoint: The URL, and the secrets that sign the message.
        message_id: The same for all attempts.
        body: JSON.
    """
    timestamp = int(time.time())
    headers = {
        "User-Agent": "Quintile",
        "Content-Type": "application/json",
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(
            sign(secret, message_id, timestamp, body) for secret in endpoint.secrets
        ),
    }
    began = time.perf_counter()
    answer = asyncio.run(_post(settings, endpoint.url, headers, body))
    count_upstream(_PROVIDER, answer.status, time.perf_counter() - began)
    return answer


def sign(secret: str, message_id: str, timestamp: int, body: bytes) -> str:
    """One signature: HMAC-SHA256 over id, time (Unix seconds) and body."""
    key = base64.b64decode(secret.removeprefix(SECRET_PREFIX))
    signed = b".".join((message_id.encode(), str(timestamp).encode(), body))
    return "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()


async def _post(settings: Settings, url: str, headers: dict[str, str], body: bytes) -> Answer:
    target = httpx.URL(url)
    host = target.raw_host.decode("ascii").strip("[]")
    port = target.port or _PORTS[target.scheme]
    may_be_private = bool(settings.notify_private_addresses)
    try:
        async with asyncio.timeout(DEADLINE_SECONDS):
            address = await _resolve(host, port, may_be_private=may_be_private)
            async with (
                httpx.AsyncClient(timeout=DEADLINE_SECONDS) as client,
                client.stream(
                    "POST",
                    # Connect to the checked IP address; the name goes into Host and TLS.
                    target.copy_with(host=address),
                    headers={**headers, "Host": target.netloc.decode("ascii")},
                    content=body,
                    extensions={"sni_hostname": host},
                ) as response,
            ):
                return _read(response)
    except UnreachableAddressError as error:
        return Answer(error=error.message)
    except TimeoutError:
        return Answer(error=f"There was no answer within {DEADLINE_SECONDS:.0f} seconds.")
    except httpx.RequestError as error:
        return Answer(error=f"The connection failed ({type(error).__name__}).")


async def _resolve(host: str, port: int, *, may_be_private: bool) -> str:
    """As :func:`look_up`, but a silent name server is not waited for after the deadline."""
    call = partial(look_up, host, port, may_be_private=may_be_private)
    executor = ThreadPoolExecutor(max_workers=1)
    try:
        return await asyncio.get_running_loop().run_in_executor(executor, call)
    finally:
        executor.shutdown(wait=False)


def _read(response: httpx.Response) -> Answer:
    if response.is_success:
        return Answer(response.status_code)
    return Answer(
        response.status_code,
        f"The receiver answered with status {response.status_code}.",
        parse_retry_after(response.headers.get("Retry-After")),
    )
