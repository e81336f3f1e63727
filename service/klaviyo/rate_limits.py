"""Klaviyo's rate limits: calls of an operation per second (burst) and per minute (steady).

The limits are an account's, shared by all its keys. So the calls of all processes and tenants of an
account are counted in the database, before they are made; a client that does not know its account
yet counts for itself. No connection is held while waiting.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol
from uuid import UUID

from psycopg import sql

from service.core.config import Settings
from service.core.db import Pool, one, tenant_transaction
from service.core.http import MAX_RETRY_AFTER_SECONDS
from service.core.queries import query
from service.core.secrets import derive

BURST_SECONDS, STEADY_SECONDS = 1, 60
# A window opens when a call reaches Klaviyo, which is later than it is counted here.
_MARGIN_SECONDS = 0.25
_WINDOW = re.compile(r"(\d+)\s*;\s*w=(\d+)")


class WaitTooLongError(Exception):
    """The next call is allowed later than the caller would wait; ``seconds`` says in how long."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"the next call is allowed in {seconds:.0f} seconds")
        self.seconds = seconds


@dataclass(frozen=True)
class ReportedLimits:
    """The limits in a response's headers: how large both windows are, and how much of one is left.

    ``is_burst`` says of which. Klaviyo reports the steady one and calls its number approximate; a
    response that reports the burst is understood as well.
    """

    burst_limit: int
    steady_limit: int
    is_burst: bool
    remaining: int
    reset_seconds: int

    @classmethod
    def read(cls, headers: Mapping[str, str]) -> ReportedLimits | None:
        """From ``RateLimit-Limit: 10, 10;w=1, 150;w=60`` and its companions; None if incomplete."""
        sizes = {
            int(seconds): int(size)
            for size, seconds in _WINDOW.findall(headers.get("RateLimit-Limit", ""))
        }
        remaining = headers.get("RateLimit-Remaining", "")
        reset = headers.get("RateLimit-Reset", "")
        burst, steady = sizes.get(BURST_SECONDS), sizes.get(STEADY_SECONDS)
        if not (remaining.isdecimal() and reset.isdecimal() and burst and steady):
            return None
        return cls(
            burst_limit=burst,
            steady_limit=steady,
            # In the last second of a minute either may be meant: the burst is the safer reading.
            is_burst=int(reset) <= BURST_SECONDS and int(remaining) <= burst,
            remaining=int(remaining),
            reset_seconds=int(reset),
        )


@dataclass(frozen=True)
class Reservation:
    """A counted call: its number in each window, and how large the windows were then."""

    burst_limit: int = 0
    burst_number: int = 0
    steady_limit: int = 0
    steady_number: int = 0

    def knows(self, reported: ReportedLimits) -> bool:
        """Whether the response reports nothing new."""
        limits = (reported.burst_limit, reported.steady_limit)
        if limits != (self.burst_limit, self.steady_limit):
            return False
        if reported.is_burst:
            return reported.burst_limit - reported.remaining <= self.burst_number
        return reported.steady_limit - reported.remaining <= self.steady_number


class Windows(Protocol):
    """The rate limit windows of an account."""

    def reserve(self, operation: str) -> Reservation:
        """Wait until one more call is allowed, and count it.

        Raises:
            WaitTooLongError: That takes longer than the caller would wait.
        """

    def record(self, operation: str, reservation: Reservation, reported: ReportedLimits) -> None:
        """Take over what the response to a call reports."""

    def throttle(self, operation: str, seconds: float) -> None:
        """Allow no call for this many seconds: Klaviyo has asked for it."""


class LocalWindows:
    """Windows of a client that does not know its account yet, for its few calls."""

    def __init__(self) -> None:
        self._open_again: dict[str, float] = {}

    def reserve(self, operation: str) -> Reservation:
        """As :meth:`Windows.reserve`."""
        wait = self._open_again.get(operation, 0.0) - time.monotonic()
        time.sleep(min(max(wait, 0.0), STEADY_SECONDS))
        return Reservation()

    def record(self, operation: str, reservation: Reservation, reported: ReportedLimits) -> None:  # noqa: ARG002
        """As :meth:`Windows.record`: waits for the next window once this one is used up."""
        if reported.remaining == 0:
            self.throttle(operation, reported.reset_seconds)

    def throttle(self, operation: str, seconds: float) -> None:
        """As :meth:`Windows.throttle`."""
        self._open_again[operation] = time.monotonic() + seconds


@dataclass(frozen=True)
class SharedWindows:
    """The windows of an account, shared by its processes in ``app.klaviyo_windows``.

    ``tenant_id`` is the tenant that calls; other tenants may use the same account. ``account_hash``
    is from :func:`hash_account`. ``patience_seconds`` is the longest wait for a reservation; None
    waits as long as other processes fill the windows, but not for a longer pause that Klaviyo has
    asked for.
    """

    pool: Pool
    tenant_id: UUID
    account_hash: bytes
    patience_seconds: float | None = None

    def reserve(self, operation: str) -> Reservation:
        """As :meth:`Windows.reserve`."""
        started_at = time.monotonic()
        while True:
            row = self._try_reserve(operation)
            wait = float(row.pop("wait_seconds"))
            if wait <= 0:
                return Reservation(**row)
            waited = time.monotonic() - started_at
            if wait > MAX_RETRY_AFTER_SECONDS or (
                self.patience_seconds is not None and waited + wait > self.patience_seconds
            ):
                raise WaitTooLongError(wait)
            time.sleep(wait)

    def record(self, operation: str, reservation: Reservation, reported: ReportedLimits) -> None:
        """As :meth:`Windows.record`; without a transaction if nothing is new."""
        if reservation.knows(reported):
            return
        burst_total = reported.burst_limit - reported.remaining if reported.is_burst else 0
        steady_total = 0 if reported.is_burst else reported.steady_limit - reported.remaining
        self._execute(
            query("klaviyo.record_limits"),
            operation,
            burst_limit=reported.burst_limit,
            burst_total=burst_total,
            burst_number=reservation.burst_number,
            steady_limit=reported.steady_limit,
            steady_total=steady_total,
            steady_number=reservation.steady_number,
            ends_in=reported.reset_seconds,
        )

    def throttle(self, operation: str, seconds: float) -> None:
        """As :meth:`Windows.throttle`."""
        self._execute(query("klaviyo.throttle"), operation, seconds=seconds)

    def _try_reserve(self, operation: str) -> dict[str, Any]:
        """Count a call if there is room; else ``wait_seconds`` says when there may be."""
        reserve = query("klaviyo.reserve_call")
        row = self._execute(reserve, operation)
        if row is None:
            self._execute(query("klaviyo.add_windows"), operation)
            row = self._execute(reserve, operation)
        return one(row)

    def _execute(
        self, statement: sql.SQL, operation: str, **parameters: float
    ) -> dict[str, Any] | None:
        """Run a statement about an operation; returns its row, if it returns one."""
        with tenant_transaction(self.pool, self.tenant_id) as conn:
            conn.execute(query("core.relax_commit"))
            cursor = conn.execute(
                statement,
                {
                    "account_hash": self.account_hash,
                    "operation": operation,
                    "burst_seconds": BURST_SECONDS,
                    "steady_seconds": STEADY_SECONDS,
                    "margin": _MARGIN_SECONDS,
                    **parameters,
                },
            )
            return cursor.fetchone() if cursor.description else None


def hash_account(settings: Settings, account_id: str) -> bytes:
    """What identifies an account in the windows that all tenants share (HMAC-SHA-256)."""
    key = derive(settings, "klaviyo accounts")
    return hmac.new(key, account_id.encode(), hashlib.sha256).digest()
