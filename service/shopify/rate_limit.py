"""The shop's points: what a query may cost is reserved before it is sent.

Shopify gives each app a bucket of points per shop. All of a tenant's processes draw from the same
one, so what they have reserved is counted in the database; a client alone counts for itself.
Whoever finds too little has reserved all the same and waits for its turn, without a transaction.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from service.core.db import Pool, one, tenant_transaction
from service.core.queries import query

# The smallest bucket there is, assumed until Shopify has told of the shop's own.
_SMALLEST_MAXIMUM = 1000.0
_SLOWEST_RATE = 50.0
_LONGEST_WAIT_SECONDS = 120.0
# Shopify tells whole points and has a clock of its own: whoever waits, waits so much longer.
_MARGIN_SECONDS = 0.1
# Those ahead usually give points back, so the place in the queue is looked at again.
_LOOK_AGAIN_SECONDS = 0.5
# Longer than a wait and its query take together: who has not settled by then never will.
_RESERVED_FOR_SECONDS = 240.0


@dataclass(frozen=True)
class Throttle:
    """The bucket as Shopify tells it; ``restore_rate`` is in points per second."""

    maximum: float
    available: float
    restore_rate: float


@dataclass(frozen=True)
class Reservation:
    """Points taken ahead of a query, and their place in the queue."""

    points: float
    place: float = 0.0


class Bucket(Protocol):
    """Who counts the points."""

    def reserve(self, points: float) -> Reservation:
        """Wait until so many points are there; what was reserved, to be settled."""

    def settle(self, reserved: Reservation, cost: float, throttle: Throttle | None) -> None:
        """Give back what the query did not cost, and note what Shopify told, if it did."""


class LocalBucket:
    """The points of a client that is alone with its shop."""

    def __init__(self) -> None:
        self._told: Throttle | None = None
        self._told_at = 0.0

    def reserve(self, points: float) -> Reservation:
        """As :meth:`Bucket.reserve`."""
        told = self._told
        if told is not None:
            restored = (time.monotonic() - self._told_at) * told.restore_rate
            missing = min(points, told.maximum) - min(told.available + restored, told.maximum)
            time.sleep(min(max(missing, 0.0) / told.restore_rate, _LONGEST_WAIT_SECONDS))
        return Reservation(points)

    def settle(self, reserved: Reservation, cost: float, throttle: Throttle | None) -> None:  # noqa: ARG002
        """As :meth:`Bucket.settle`: alone, what Shopify tells is all there is to know."""
        if throttle is not None:
            self._told, self._told_at = throttle, time.monotonic()


class SharedBucket:
    """The points of a tenant, counted in ``app.shopify_buckets`` for all its processes."""

    def __init__(self, pool: Pool, tenant_id: UUID) -> None:
        self._pool = pool
        self._tenant_id = tenant_id

    def reserve(self, points: float) -> Reservation:
        """As :meth:`Bucket.reserve`; in turn, so that a large query is not overtaken for ever."""
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
        give_up_at = time.monotonic() + _LONGEST_WAIT_SECONDS
        while seconds > 0 and time.monotonic() < give_up_at:
            time.sleep(min(seconds, _LOOK_AGAIN_SECONDS))
            seconds = self._seconds_left(place)

    def _seconds_left(self, place: float) -> float:
        with tenant_transaction(self._pool, self._tenant_id, read_only=True) as conn:
            row = one(
                conn.execute(
                    query("shopify.read_wait"),
                    {
                        "tenant_id": self._tenant_id,
                        "place": place,
                        "margin": _MARGIN_SECONDS,
                        "look_again": _LOOK_AGAIN_SECONDS,
                    },
                ).fetchone()
            )
        return float(row["wait_seconds"])
