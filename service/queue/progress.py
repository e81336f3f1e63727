"""The interface by which long-running work reports its progress."""

from __future__ import annotations

from typing import Protocol
from uuid import UUID


class Progress(Protocol):
    """Where a sync, an import or a build reports its progress."""

    def phase(self, name: str, total: int | None = None) -> None:
        """Begin a phase; ``total`` is its number of units, if known."""

    def advance(self, done: int = 1) -> None:
        """Add finished units to the phase."""

    def count(self, **counts: int) -> None:
        """Add to the run's counters."""


class RunProgress(Progress, Protocol):
    """Progress of a run that has a row in app.runs."""

    @property
    def run_id(self) -> UUID:
        """The run's id."""
