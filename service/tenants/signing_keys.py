"""The public keys of a platform that signs tokens (JWKS, RFC 7517), read when they are needed.

An endpoint that is slow or down must not stop the service: one thread at a time reads it, with a
deadline for the whole answer, and not again for a while. The keys that were read last stay in use.
"""

from __future__ import annotations

import threading
import time
from typing import Any

import httpx
import jwt
import structlog

from service.core.errors import QuintileError
from service.core.http import TransientError, decode_json, open_client

log = structlog.get_logger(__name__)

ALGORITHMS = ("RS256", "ES256")

_DEADLINE_SECONDS = 5.0
_FRESH_SECONDS = 300.0
_PAUSE_SECONDS = 30.0
_MOST_BYTES = 1024 * 1024


class KeysUnavailableError(QuintileError):
    """The platform's signing keys cannot be read now."""

    advice = "Try again soon. The service's log has the reason."


class SigningKeys:
    """The keys at an address.

    Args:
        url: The address of the JWKS document.
        pause_seconds: Least time between two readings.
    """

    def __init__(self, url: str, pause_seconds: float = _PAUSE_SECONDS) -> None:
        self._url = url
        self._pause_seconds = pause_seconds
        self._reading = threading.Lock()
        self._keys: dict[str, jwt.PyJWK] = {}
        self._read_at: float | None = None
        self._tried_at: float | None = None

    def find(self, key_id: str) -> jwt.PyJWK | None:
        """The key with an id; None if the platform has no such key.

        Raises:
            KeysUnavailableError: The key is not known, and the keys cannot be read now.
        """
        if not (key_id in self._keys and _is_within(_FRESH_SECONDS, self._read_at)):
            self._refresh()
        if key := self._keys.get(key_id):
            return key
        if self._read_at is None or self._read_at < (self._tried_at or 0):
            raise KeysUnavailableError("The signing keys of the platform cannot be read.")
        return None

    def _refresh(self) -> None:
        """Read the keys, unless another thread does or they were just tried."""
        # Only the first request of all waits for another's reading.
        wait = _DEADLINE_SECONDS if self._read_at is None else 0
        if not self._reading.acquire(timeout=wait):
            return
        try:
            if _is_within(self._pause_seconds, self._tried_at):
                return
            self._tried_at = time.monotonic()
            self._keys = _read(self._url)
            self._read_at = time.monotonic()
        except (
            httpx.HTTPError,
            httpx.InvalidURL,
            TransientError,
            ValueError,
            TimeoutError,
        ) as error:
            # What was read before stays in use.
            log.warning("signing keys not read", reason=type(error).__name__)
        finally:
            self._reading.release()


def _is_within(seconds: float, since: float | None) -> bool:
    return since is not None and time.monotonic() - since < seconds


def _read(url: str) -> dict[str, jwt.PyJWK]:
    """Read the document in a thread of its own: a look-up of a host name has no deadline."""
    result: list[Any] = []

    def get() -> None:
        try:
            with open_client({}, within=_DEADLINE_SECONDS, most_bytes=_MOST_BYTES) as client:
                result.append(decode_json(client.get(url).raise_for_status()))
        except (httpx.HTTPError, httpx.InvalidURL, TransientError, ValueError) as error:
            result.append(error)

    thread = threading.Thread(target=get, daemon=True)
    thread.start()
    thread.join(_DEADLINE_SECONDS)
    if not result:
        raise TimeoutError("the platform's keys took too long")
    if isinstance(result[0], Exception):
        raise result[0]
    keys = {}
    for item in result[0]["keys"] if isinstance(result[0], dict) and "keys" in result[0] else []:
        try:
            key = jwt.PyJWK(item)
        except (jwt.PyJWTError, TypeError, ValueError, KeyError, AttributeError):
            # A key of a kind that is not supported does not hide the others.
            continue
        if key.key_id and key.algorithm_name in ALGORITHMS:
            keys[key.key_id] = key
    if not keys:
        raise ValueError("the document has no keys for RS256 or ES256")
    return keys
