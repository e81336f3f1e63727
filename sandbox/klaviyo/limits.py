"""Klaviyo's rate limits: fixed windows of a second (burst) and a minute (steady), per account.

Every operation has its own pair of windows, shared by all keys of the account.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock

from .errors import throttled

BURST_SECONDS, STEADY_SECONDS = 1, 60


@dataclass(frozen=True, slots=True)
class Limit:
    """Requests allowed each second and each minute."""

    burst: int
    steady: int


# The pairs Klaviyo's reference names, from the narrowest up.
EXTRA_SMALL = Limit(1, 15)
SMALL = Limit(3, 60)
MEDIUM = Limit(10, 150)
LARGE = Limit(75, 750)
EXTRA_LARGE = Limit(350, 3500)


@dataclass(slots=True)
class _Window:
    seconds: int
    opened: float = -math.inf
    used: int = 0

    def roll(self, at: float) -> None:
        if at - self.opened >= self.seconds:
            self.opened, self.used = at, 0

    def left_seconds(self, at: float) -> int:
        """Whole seconds until the window closes, at least one."""
        return max(math.ceil(self.opened + self.seconds - at), 1)


class RateLimits:
    """The windows of one account. Thread-safe."""

    def __init__(self, scale: float = 1.0, clock: Callable[[], float] = time.monotonic) -> None:
        """`scale` multiplies every limit (never below one request)."""
        self._scale = scale
        self._clock = clock
        self._lock = Lock()
        self._windows: dict[str, tuple[_Window, _Window]] = {}

    def spend(self, operation: str, limit: Limit) -> dict[str, str]:
        """Count one request; returns the headers that report what is left.

        Raises the 429 error, which counts nothing, when a window is full.
        """
        burst, steady = self._scaled(limit.burst), self._scaled(limit.steady)
        with self._lock:
            at = self._clock()
            windows = self._windows.setdefault(
                operation, (_Window(BURST_SECONDS), _Window(STEADY_SECONDS))
            )
            waits = []
            for window, allowed in zip(windows, (burst, steady), strict=True):
                window.roll(at)
                if window.used >= allowed:
                    waits.append(window.left_seconds(at))
            if waits:
                raise throttled(max(waits))
            for window in windows:
                window.used += 1
            return _headers(windows, burst, steady, at)

    def _scaled(self, requests: int) -> int:
        return max(math.floor(requests * self._scale), 1)


def _headers(
    windows: tuple[_Window, _Window], burst: int, steady: int, at: float
) -> dict[str, str]:
    """The window that will be used up first."""
    left = (burst - windows[0].used, steady - windows[1].used)
    nearest = 0 if left[0] <= left[1] else 1
    return {
        "RateLimit-Limit": f"{burst}, {burst};w={BURST_SECONDS}, {steady};w={STEADY_SECONDS}",
        "RateLimit-Remaining": str(left[nearest]),
        "RateLimit-Reset": str(windows[nearest].left_seconds(at)),
    }
