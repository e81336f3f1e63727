"""Which failures are transient, and when to retry."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TypeVar

import psycopg

from service.core.errors import QuintileError
from service.core.failures import is_full_disk

T = TypeVar("T")

_TRANSIENT = (psycopg.OperationalError, psycopg.InterfaceError)
_FACTOR = 4
_MAX_EXPONENT = 10
_MAX_WAIT_SECONDS = 3600.0
_MAX_PAUSE_SECONDS = 5.0


class PostponedError(QuintileError):
    """The job must run again at the given time."""

    def __init__(self, at: datetime) -> None:
        super().__init__()
        self.at = at


class HandedBackError(QuintileError):
    """The process must stop, so unfinished work goes back to the queue."""


def is_transient(error: BaseException) -> bool:
    """Whether a retry may succeed without any change."""
    if isinstance(error, QuintileError):
        return error.is_transient
    return isinstance(error, _TRANSIENT) or is_full_disk(error)


def next_try(attempts: int, first_seconds: float) -> datetime:
    """When to retry after this many attempts.

    The wait grows by a factor of four up to an hour. A random part of up to half of it spreads
    retries of what failed together.
    """
    exponent = min(max(attempts - 1, 0), _MAX_EXPONENT)
    longest = min(first_seconds * _FACTOR**exponent, _MAX_WAIT_SECONDS)
    wait = random.uniform(longest / 2, longest)  # noqa: S311 - not for security
    return datetime.now(UTC) + timedelta(seconds=wait)


def retry_until(call: Callable[[], T], seconds: float) -> T:
    """Call until the database answers, for at most this many seconds.

    Raises:
        psycopg.OperationalError: It did not answer in time.
    """
    until = time.monotonic() + seconds
    pause = 0.1
    while True:
        try:
            return call()
        except _TRANSIENT:
            if time.monotonic() + pause > until:
                raise
        time.sleep(pause)
        pause = min(2 * pause, _MAX_PAUSE_SECONDS)
