"""Klaviyo's limits, kept ahead of time: so many calls of an operation a second and a minute.

They are an account's, shared by all its keys. So what the processes and tenants of an account have
spent is counted in the database; a client that does not know its account yet counts for itself.
Nobody waits with a connection in hand.
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
from service.core.db import Connection, Pool, tenant_transaction
from service.core.http import LONGEST_WAITED_OUT_SECONDS
from service.core.queries import query
from service.core.secrets import derive

BURST_SECONDS, STEADY_SECONDS = 1, 60
# The narrowest that Klaviyo has, assumed until an answer tells of the operation's own.
_NARROWEST_BURST, _NARROWEST_STEADY = 1, 15
# A window opens when a call reaches Klaviyo, which is later than we count it.
_MARGIN_SECONDS = 0.25
_WINDOW = re.compile(r"(\d+)\s*;\s*w=(\d+)")


class WaitTooLongError(Exception):
    """The reservation comes later than the caller would wait; ``seconds`` says in how long."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"the next call is allowed in {seconds:.0f} seconds")
        self.seconds = seconds


@dataclass(frozen=True)
class ReportedLimits:
    """What an answer's headers say: how large both windows are, and how much of one is left.

    ``is_burst`` says of which. Klaviyo means the steady one and calls its number approximate; an
    answer that tells of the burst is understood as well.
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
        remaining, reset = (
            headers.get("RateLimit-Remaining", ""),
            headers.get("RateLimit-Reset", ""),
        )
        if not (remaining.isdecimal() and reset.isdecimal()):
            return None
        burst, steady = sizes.get(BURST_SECONDS), sizes.get(STEADY_SECONDS)
        if not burst or not steady:
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
    """A call that has been counted: its number in each window, and how large we think they are."""

    burst_limit: int = 0
    burst_number: int = 0
    steady_limit: int = 0
    steady_number: int = 0

    def knows(self, reported: ReportedLimits) -> bool:
        """Whether what an answer tells is no news."""
        limits = (reported.burst_limit, reported.steady_limit)
        if limits != (self.burst_limit, self.steady_limit):
            return False
        if reported.is_burst:
            return reported.burst_limit - reported.remaining <= self.burst_number
        return reported.steady_limit - reported.remaining <= self.steady_number


class Windows(Protocol):
    """Who counts the calls."""

    def reserve(self, operation: str) -> Reservation:
        """Wait until one more call is allowed, and count it.

        Raises:
            WaitTooLongError: That takes longer than the caller would wait.
        """

    def record(self, operation: str, reservation: Reservation, reported: ReportedLimits) -> None:
        """Learn from the headers of the answer."""

    def throttle(self, operation: str, seconds: float) -> None:
        """Make no call for so many seconds: Klaviyo has asked for it."""


class LocalWindows:
    """For a client that does not know its account yet, which makes a few calls and goes."""

    def __init__(self) -> None:
        self._open_again: dict[str, float] = {}

    def reserve(self, operation: str) -> Reservation:
        """As :meth:`Windows.reserve`."""
        wait = self._open_again.get(operation, 0.0) - time.monotonic()
        time.sleep(min(max(wait, 0.0), STEADY_SECONDS))
        return Reservation()

    def record(self, operation: str, reservation: Reservation, reported: ReportedLimits) -> None:  # noqa: ARG002
        """As :meth:`Windows.record`: a window that is used up is waited out."""
        if reported.remaining == 0:
            self.throttle(operation, reported.reset_seconds)

    def throttle(self, operation: str, seconds: float) -> None:
        """As :meth:`Windows.throttle`."""
        self._open_again[operation] = time.monotonic() + seconds


class SharedWindows:
    """The rate limit windows of an account, shared by its processes in ``app.klaviyo_windows``.

    Args:
        pool: The service's pool.
        tenant_id: The tenant that calls; other tenants may use the same account.
        account_hash: Of :func:`hash_account`.
        patience_seconds: The longest wait for a reservation. None: for as long as other processes
            fill the windows, but not for a longer pause that Klaviyo has asked for.
    """

    def __init__(
        self,
        pool: Pool,
        tenant_id: UUID,
        account_hash: bytes,
        *,
        patience_seconds: float | None = None,
    ) -> None:
        self._pool = pool
        self._tenant_id = tenant_id
        self._account_hash = account_hash
        self._patience = patience_seconds

    def reserve(self, operation: str) -> Reservation:
        """As :meth:`Windows.reserve`."""
        asked_at = time.monotonic()
        while True:
            reservation, wait = self._ask(operation)
            if reservation is not None:
                return reservation
            waited = time.monotonic() - asked_at
            if wait > LONGEST_WAITED_OUT_SECONDS or (
                self._patience is not None and waited + wait > self._patience
            ):
                raise WaitTooLongError(wait)
            time.sleep(wait)

    def record(self, operation: str, reservation: Reservation, reported: ReportedLimits) -> None:
        """As :meth:`Windows.record`; no news costs no transaction."""
        if reservation.knows(reported):
            return
        burst_total = reported.burst_limit - reported.remaining if reported.is_burst else 0
        steady_total = 0 if reported.is_burst else reported.steady_limit - reported.remaining
        self._run(
            query("klaviyo.record_limits"),
            operation,
            burst_limit=reported.burst_limit,
            burst_total=burst_total,
            burst_number=reservation.burst_number,
            steady_limit=reported.steady_limit,
            steady_total=steady_total,
            steady_number=reservation.steady_number,
            ends_in=reported.reset_seconds,
            margin=_MARGIN_SECONDS,
        )

    def throttle(self, operation: str, seconds: float) -> None:
        """As :meth:`Windows.throttle`."""
        self._run(query("klaviyo.throttle"), operation, seconds=seconds)

    def _ask(self, operation: str) -> tuple[Reservation | None, float]:
        """A reservation, or None and the seconds until there may be one."""
        with tenant_transaction(self._pool, self._tenant_id) as conn:
            conn.execute(query("core.relax_commit"))
            row = self._try(conn, operation)
            if row is None:
                self._add(conn, operation)
                row = self._try(conn, operation)
        if row is None or row["wait_seconds"] > 0:
            return None, float(row["wait_seconds"]) if row else 0.0
        return Reservation(
            burst_limit=row["burst_limit"],
            burst_number=row["burst_used"],
            steady_limit=row["steady_limit"],
            steady_number=row["steady_used"],
        ), 0.0

    def _try(self, conn: Connection, operation: str) -> dict[str, Any] | None:
        return conn.execute(
            query("klaviyo.reserve_call"),
            {
                "account_hash": self._account_hash,
                "operation": operation,
                "burst_seconds": BURST_SECONDS,
                "steady_seconds": STEADY_SECONDS,
                "margin": _MARGIN_SECONDS,
            },
        ).fetchone()

    def _add(self, conn: Connection, operation: str) -> None:
        conn.execute(
            query("klaviyo.add_windows"),
            {
                "account_hash": self._account_hash,
                "operation": operation,
                "burst_limit": _NARROWEST_BURST,
                "steady_limit": _NARROWEST_STEADY,
            },
        )

    def _run(self, statement: sql.SQL, operation: str, **parameters: float) -> None:
        with tenant_transaction(self._pool, self._tenant_id) as conn:
            conn.execute(query("core.relax_commit"))
            conn.execute(
                statement,
                {"account_hash": self._account_hash, "operation": operation, **parameters},
            )


def hash_account(settings: Settings, account_id: str) -> bytes:
    """What stands for an account in the windows all tenants share (HMAC-SHA-256)."""
    key = derive(settings, "klaviyo accounts")
    return hmac.new(key, account_id.encode(), hashlib.sha256).digest()
