"""Planned failures: what the sandbox servers should do wrong, and when."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from threading import Lock

from pydantic import BaseModel, ConfigDict, Field


class Fault(BaseModel):
    """One way to fail, for the next `count` matching requests.

    `delay` (seconds) may stand alone or precede another failure. `drop` closes the connection
    without an answer; `lose` does what was asked before it does the same; `truncate` breaks off
    half-way through the body; `status` answers with that status in the API's own error format, or
    as an HTML page when `html` is set. `path` is a part of the path to match, and `probability` the
    share of matching requests that fail. The first `after` matching requests are answered.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    status: int | None = Field(default=None, ge=400, le=599)
    retry_after: int | None = Field(default=None, ge=0)
    delay: float = Field(default=0.0, ge=0, le=60)
    drop: bool = False
    lose: bool = False
    truncate: bool = False
    html: bool = False
    count: int = Field(default=1, ge=1)
    after: int = Field(default=0, ge=0)
    probability: float = Field(default=1.0, gt=0, le=1)
    path: str | None = None


@dataclass(slots=True, eq=False)
class _Pending:
    """A planned fault: how many requests will still fail, and how many are answered before."""

    fault: Fault
    left: int
    spared: int


class FaultPlan:
    """The faults still to come, in the order they were planned. Thread-safe."""

    def __init__(self, seed: int = 1) -> None:
        self._lock = Lock()
        self._rng = Random(seed)  # noqa: S311 - a repeatable plan, not a secret
        self._pending: list[_Pending] = []

    def add(self, *faults: Fault) -> None:
        """Plan `faults` after those already planned."""
        with self._lock:
            self._pending += [_Pending(fault, fault.count, fault.after) for fault in faults]

    def clear(self) -> None:
        """Remove every planned fault."""
        with self._lock:
            self._pending.clear()

    def take(self, path: str) -> Fault | None:
        """The planned fault for this request, if any; uses up one of its count."""
        with self._lock:
            for pending in self._pending:
                fault = pending.fault
                if fault.path is not None and fault.path not in path:
                    continue
                if pending.spared:
                    pending.spared -= 1
                    continue
                if self._rng.random() >= fault.probability:
                    continue
                pending.left -= 1
                if not pending.left:
                    self._pending.remove(pending)
                return fault
        return None
