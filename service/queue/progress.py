"""How long work tells how far it is."""

from __future__ import annotations

from typing import Protocol
from uuid import UUID


class Progress(Protocol):
    """What a sync, an import or a build reports to."""

    def phase(self, name: str, total: int | None = None) -> None:
        """Begin a phase; ``total`` is in the unit the phase names, if it is known."""

    def advance(self, done: int = 1) -> None:
        """So many more of the phase's units are done."""

    def count(self, **counts: int) -> None:
        """Add to the run's counters."""


class RunProgress(Progress, Protocol):
    """Progress of a run that has a row in app.runs."""

    @property
    def run_id(self) -> UUID:
        """The run's id."""
