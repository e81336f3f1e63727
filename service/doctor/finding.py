"""One result of a check."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Literal

Level = Literal["ok", "warning", "error"]


@dataclass(frozen=True)
class Finding:
    """What a check found, and advice unless all is well."""

    level: Level
    check: str
    message: str
    advice: str = ""

    def as_dict(self) -> dict[str, str]:
        """For ``--json``."""
        return asdict(self)

    def as_line(self) -> str:
        """For the terminal."""
        advice = f"\n{'':<23}{self.advice}" if self.advice else ""
        return f"{self.level:<8} {self.check:<13} {self.message}{advice}"
