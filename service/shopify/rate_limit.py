"""Shopify's rate limit: a query's points are reserved before it is sent.

Shopify gives each app a bucket of points per shop. All of a tenant's processes share it, so their
reservations are counted in the database; a single client counts its own. A process that finds too
few points reserves them all the same and waits in the queue, without an open transaction.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from service.core.db import Pool, one, tenant_transaction
from service.core.queries import query

# The smallest plan's bucket, assumed until Shopify has reported the shop's.
_SMALLEST_MAXIMUM = 1000.0
_SLOWEST_RATE = 50.0
_LONGEST_WAIT_SECONDS = 120.0
# Added to every wait, because Shopify reports whole points and has its own clock.
_MARGIN_SECONDS = 0.1
# Queries ahead usually give points back, so a waiting one checks its place again.
_LOOK_AGAIN_SECONDS = 0.5
# Longer than a wait and its query take: a reservation this old is never settled.
_RESERVED_FOR_SECONDS = 240.0


@dataclass(frozen=True)
class Throttle:
    """The bucket as Shopify reports it; ``restore_rate`` is in points per second."""

    maximum: float
    available: float
    restore_rate: float


@dataclass(frozen=True)
class Reservation:
    """Points taken ahead of a query, and their place in the queue."""

    points: float
    place: float = 0.0


class Bucket(Protocol):
    """Counts the points."""

    def reserve(self, points: float) -> Reservation:
        """Wait until the bucket has these points; the reservation must be settled."""

    def settle(self, reserved: Reservation, cost: float, throttle: Throttle | None) -> None:
        """Give back what the query did not cost, and record what Shopify reported, if it did."""


class LocalBucket:
    """The points of a single client, which no other process shares."""

    def __init__(self) -> None:
        self._reported: Throttle | None = None
        self._reported_at = 0.0

    def reserve(self, points: float) -> Reservation:
        """As :meth:`Bucket.reserve`."""
        last = self._reported
        if last is not None:
            restored = (time.monotonic() - self._reported_at) * last.restore_rate
            missing = min(points, last.maximum) - min(last.available + restored, last.maximum)
            time.sleep(min(max(missing, 0.0) / last.restore_rate, _LONGEST_WAIT_SECONDS))
        return Reservation(points)

    def settle(self, reserved: Reservation, cost: float, throttle: Throttle | None) -> None:  # noqa: ARG002
        """As :meth:`Bucket.settle`."""
        if throttle is not None:
            self._reported, self._reported_at = throttle, time.monotonic()


class SharedBucket:
    """A tenant's points, counted in ``app.shopify_buckets`` for all its processes."""

    def __init__(self, pool: Pool, tenant_id: UUID) -> None:
        self._pool = pool
        self._tenant_id = tenant_id

    def reserve(self, points: float) -> Reservation:
        """As :meth:`Bucket.reserve`, in the order of the calls, so that no query starves."""
        parameters = {
            "tenant_id": self._tenant_id,
            "points": points,
            "maximum": _SMALLEST_MAXIMUM,
            "restore_rate": _SLOWEST_RATE,
            "margin": _MARGIN_SECONDS,
            "counts_for": _RESERVED_FOR_SECONDS,
        }
        with tenant_transaction(self._pool, self._tenant_id) as conn:
            conn.execute(query("core.relax_commit"))
            row = one(conn.execute(query("shopify.reserve_points"), parameters).fetchone())
        self._wait(row["wait_seconds"], row["place"])
        return Reservation(float(row["points"]), float(row["place"]))

    def settle(self, reserved: Reservation, cost: float, throttle: Throttle | None) -> None:
        """As :meth:`Bucket.settle`."""
        with tenant_transaction(self._pool, self._tenant_id) as conn:
            conn.execute(query("core.relax_commit"))
            conn.execute(
                query("shopify.settle_points"),
                {
                    "tenant_id": self._tenant_id,
                    "points": reserved.points,
                    "place": reserved.place,
                    "cost": cost,
                    "maximum": throttle and throttle.maximum,
                    "restore_rate": throttle and throttle.restore_rate,
                    "available": throttle and throttle.available,
                },
            )

    def _wait(self, seconds: float, place: float) -> None:
        parameters = {
            "tenant_id": self._tenant_id,
            "place": place,
            "margin": _MARGIN_SECONDS,
            "look_again": _LOOK_AGAIN_SECONDS,
        }
        give_up_at = time.monotonic() + _LONGEST_WAIT_SECONDS
        while seconds > 0 and time.monotonic() < give_up_at:
            time.sleep(min(seconds, _LOOK_AGAIN_SECONDS))
            with tenant_transaction(self._pool, self._tenant_id, read_only=True) as conn:
                row = one(conn.execute(query("shopify.read_wait"), parameters).fetchone())
            seconds = float(row["wait_seconds"])
