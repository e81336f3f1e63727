"""How much one web process does at the same time; what is more is refused with 503.

A refusal costs little, and ``Retry-After`` spreads the repeats. A queue would make every answer
slow, and answer clients that have given up.
"""

from __future__ import annotations

from dataclasses import dataclass
from threading import BoundedSemaphore

from service.core.config import Settings
from service.core.errors import QuintileError


class OverloadedError(QuintileError):
    """The service is busy with as much as it can do in time."""

    advice = "Wait for the seconds in the Retry-After header."


class Place:
    """One of :class:`Places`, until it is released. Releasing it again does nothing."""

    def __init__(self, free: BoundedSemaphore) -> None:
        self._free: BoundedSemaphore | None = free

    def release(self) -> None:
        """Leave the place to another one."""
        free, self._free = self._free, None
        if free is not None:
            free.release()


class Places:
    """How many can do something at the same time.

    Args:
        number: As many.
        refusal: One sentence for those who find all places taken.
    """

    def __init__(self, number: int, refusal: str) -> None:
        self._free = BoundedSemaphore(number)
        self._refusal = refusal

    def take(self) -> Place:
        """Take a place.

        Raises:
            OverloadedError: All are taken.
        """
        if not self._free.acquire(blocking=False):
            raise OverloadedError(self._refusal)
        return Place(self._free)


@dataclass(frozen=True)
class Capacity:
    """The places of one web process.

    ``bodies`` are requests whose body is being read, so that clients that send slowly keep nobody
    waiting but others that send. ``downloads`` hold a database connection for as long as the client
    reads, so they can have half of them.
    """

    requests: Places
    bodies: Places
    downloads: Places

    @classmethod
    def of(cls, settings: Settings) -> Capacity:
        """The places that the settings give a process."""
        busy = "The service is busy with other requests."
        return cls(
            requests=Places(settings.web_requests, busy),
            bodies=Places(max(1, settings.web_requests // 4), busy),
            downloads=Places(
                max(1, settings.pool_size // 2), "Other downloads are running; wait for one to end."
            ),
        )
