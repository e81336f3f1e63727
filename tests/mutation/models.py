"""Models without the tenant in one of their joins, windows or comparisons."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from service.core.config import Settings
from tests.conftest import AS_OF
from tests.tenant_predicates import unjoined_tables
from tests.unit.test_tenant_predicates import COMMON
from tests.warm_dbt import dbt

_DATABASE = re.compile(r'"test_\d+_\d+"\.')
_COMMENT = re.compile(r"--.*")
_WRITES = re.compile(r"\s*(delete|merge)\b")
_REMOVED = (
    (re.compile(r"\b\w+\.tenant_id = \w+\.tenant_id\b"), "true"),
    (re.compile(r"(?<=\bpartition by )\s*(\w+\.)?tenant_id\b"), "null"),
    (re.compile(r"(?<=\bdistinct on \()\s*(\w+\.)?tenant_id\b"), "null"),
)


def model_statements(settings: Settings, target: Path) -> Iterator[tuple[str, str]]:
    """The name and text of each query of a model, and of what dbt deletes and merges.

    The queries of a first build differ from those of later ones.

    Args:
        settings: A database that was built.
        target: Where dbt writes.
    """
    as_of = ("--vars", f'{{"as_of": "{AS_OF.isoformat()}"}}')
    for command in (("compile",), ("compile", "--full-refresh"), ("run",)):
        directory = target / "-".join(command)
        dbt(settings.database_url, directory, *command, *as_of, writes_artifacts=True)
        kind = "run" if command == ("run",) else "compiled"
        for file in sorted(directory.glob(f"{kind}/quintile/models/**/*.sql")):
            # A directory with a suffix holds the tests of a model.
            if not file.parent.suffix:
                text = _DATABASE.sub("", _COMMENT.sub("", file.read_text()))
                parts = text.split(";") if kind == "run" else [text]
                for part in parts:
                    if kind == "compiled" or _WRITES.match(part):
                        yield f"{file.stem} ({' '.join(command)})", part


def without_tenant(statement: str) -> Iterator[tuple[str, str]]:
    """The statement without the tenant in one place, and the line of that place."""
    for pattern, replacement in _REMOVED:
        for found in pattern.finditer(statement):
            start, end = found.span()
            line = statement[: statement.find("\n", end)].rpartition("\n")[2].strip()
            yield f"{statement[:start]}{replacement}{statement[end:]}", line


def findings(statement: str) -> list[str]:
    """The relations of a model's statement that are not joined by tenant."""
    return unjoined_tables(statement, COMMON)
