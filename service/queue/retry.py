"""Which failures pass by themselves, and how long to wait before the next try."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TypeVar

import psycopg

from service.core.errors import QuintileError

T = TypeVar("T")

_TRANSIENT = (psycopg.OperationalError, psycopg.InterfaceError)
_FACTOR = 4
# By then the wait is the longest.
_GROWING = 10
_LONGEST_SECONDS = 3600.0
_LONGEST_PAUSE_SECONDS = 5.0


class PostponedError(QuintileError):
    """The work is to be done later, and the queue is told when."""

    def __init__(self, at: datetime) -> None:
        super().__init__()
        self.at = at


class HandedBackError(QuintileError):
    """The process is to stop, and hands back what it has not finished."""


def is_transient(error: BaseException) -> bool:
    """Whether the same work may succeed later without any change."""
    if isinstance(error, QuintileError):
        return error.is_transient
    return isinstance(error, _TRANSIENT)


def next_try(attempts: int, first_seconds: float) -> datetime:
    """When to try again what has been tried so many times.

    Four times as long each time, an hour at most, and up to half of it by chance, so that what
    failed together does not come back together.
    """
    longest = min(first_seconds * _FACTOR ** min(max(attempts - 1, 0), _GROWING), _LONGEST_SECONDS)
    wait = random.uniform(longest / 2, longest)  # noqa: S311 - nothing is to be kept secret
    return datetime.now(UTC) + timedelta(seconds=wait)


def retry_until(call: Callable[[], T], seconds: float) -> T:
    """Call until the database answers, for so many seconds.

    Raises:
        psycopg.OperationalError: It did not.
    """
    until = time.monotonic() + seconds
    pause = 0.1
    while True:
        try:
            return call()
        except (psycopg.OperationalError, psycopg.InterfaceError):
            if time.monotonic() + pause > until:
                raise
        time.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
