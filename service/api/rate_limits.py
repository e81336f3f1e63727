"""Limits of requests per credential, and of failed credentials per address.

The counters are in the memory of each web process, so with N processes a client may get N times as
far. They protect the service from one client, not an account from guessing: secrets have 256 bits.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from ipaddress import IPv6Address, ip_address, ip_network

from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import SlidingWindowCounterRateLimiter

from service.core.errors import QuintileError


class TooManyRequestsError(QuintileError):
    """The client has used up its requests of this minute."""

    advice = "Wait for the seconds in the Retry-After header."

    def __init__(self, message: str, seconds: float) -> None:
        super().__init__(message)
        self.seconds = max(1, math.ceil(seconds))


@dataclass
class RateLimits:
    """The counters of one web process.

    Args:
        requests: Requests a minute of one token or session; 0 for any number.
        failures: Failed credentials a minute of one address; 0 for any number.
    """

    requests: int
    failures: int
    _limiter: SlidingWindowCounterRateLimiter = field(
        default_factory=lambda: SlidingWindowCounterRateLimiter(MemoryStorage())
    )

    def count_request(self, credential: str) -> None:
        """Count a request.

        Raises:
            TooManyRequestsError: It is more than the limit.
        """
        item = RateLimitItemPerMinute(self.requests)
        if self.requests and not self._limiter.hit(item, "request", credential):
            raise self._refusal(item, "request", credential, "This credential")

    def count_failure(self, address: str) -> None:
        """Count a failed credential. Valid ones of the same address still work.

        Raises:
            TooManyRequestsError: It is more than the limit.
        """
        item, key = RateLimitItemPerMinute(self.failures), _network(address)
        if self.failures and not self._limiter.hit(item, "failure", key):
            raise self._refusal(item, "failure", key, "Your network address")

    def _refusal(
        self, item: RateLimitItemPerMinute, kind: str, key: str, who: str
    ) -> TooManyRequestsError:
        reset_at = self._limiter.get_window_stats(item, kind, key).reset_time
        what = "requests" if kind == "request" else "failed sign-ins"
        return TooManyRequestsError(
            f"{who} has made more than {item.amount:,} {what} in a minute.",
            reset_at - time.time(),
        )


def _network(address: str) -> str:
    """The address; of IPv6 the first 64 bits, which one client has."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, IPv6Address):
        return str(ip_network((parsed, 64), strict=False))
    return str(parsed)
