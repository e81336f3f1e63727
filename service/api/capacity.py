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
    """The service is already doing as much as it can do in time."""

    advice = "Wait for the seconds in the Retry-After header."


class Slot:
    """One of :class:`Slots`, until it is released. Releasing it again does nothing."""

    def __init__(self, free: BoundedSemaphore) -> None:
        self._free: BoundedSemaphore | None = free

    def release(self) -> None:
        """Make the slot free for another one."""
        free, self._free = self._free, None
        if free is not None:
            free.release()


class Slots:
    """A limit of what runs at the same time.

    Args:
        number: The limit.
        refusal: One sentence for a request that finds no free slot.
    """

    def __init__(self, number: int, refusal: str) -> None:
        self._free = BoundedSemaphore(number)
        self._refusal = refusal

    def take(self) -> Slot:
        """Take a slot.

        Raises:
            OverloadedError: None is free.
        """
        if not self._free.acquire(blocking=False):
            raise OverloadedError(self._refusal)
        return Slot(self._free)


@dataclass(frozen=True)
class Capacity:
    """The slots of one web process.

    ``bodies`` are for requests whose body is still arriving, so that slow senders delay only other
    requests with a body. ``downloads`` keep a database connection for as long as the client reads,
    so they may use half of them.
    """

    requests: Slots
    bodies: Slots
    downloads: Slots

    @classmethod
    def of(cls, settings: Settings) -> Capacity:
        """The slots that the settings give a process."""
        busy = "The service is busy with other requests."
        return cls(
            requests=Slots(settings.web_requests, busy),
            bodies=Slots(max(1, settings.web_requests // 4), busy),
            downloads=Slots(
                max(1, settings.pool_size // 2), "Other downloads are running; wait for one to end."
            ),
        )
