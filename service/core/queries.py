"""Named SQL statements, kept in files beside the code that runs them.

``service/<package>/sql/<noun>.sql`` holds statements, each under ``-- name: …`` and a comment that
says what it is for. ``query("klaviyo.record_count")`` is the statement ``record_count`` in one of
the files of package ``klaviyo``. Names in the code are literals, so that a search finds the
statement and every caller.
"""

from __future__ import annotations

import re
from collections import Counter
from functools import cache
from pathlib import Path

from psycopg import sql

_SERVICE_DIR = Path(__file__).parents[1]
_NAME_LINE = re.compile(r"^-- name: *(.*)$", re.MULTILINE)
_NAME = re.compile(r"[a-z][a-z0-9_]*")
_CALL = re.compile(r'\bquery\(\s*(?:"([^"]*)"\s*\))?')


class QueryNameError(LookupError):
    """A statement's name is unknown, duplicate, unused, or not a literal in the code."""


def query(name: str) -> sql.SQL:
    """The statement with this name.

    Args:
        name: Package and statement, for example ``klaviyo.find_config``.

    Raises:
        QueryNameError: There is no such statement.
    """
    package, _, statement = name.partition(".")
    try:
        return _statements(_SERVICE_DIR, package)[statement]
    except KeyError:
        raise QueryNameError(f"There is no statement {name}.") from None


@cache
def load_queries() -> None:
    """Read every statement and check every name, once.

    Long-lived processes call this at their start. A statement read later could come from the next
    release, if the checkout has been upgraded by then.

    Raises:
        QueryNameError: A name is unknown, duplicate, unused, or not a literal in the code.
    """
    check_queries(_SERVICE_DIR)


def read_statements(service_dir: Path = _SERVICE_DIR) -> dict[str, str]:
    """The text of every statement by its name, for checks of all of them."""
    return {
        f"{directory.parent.name}.{name}": statement.as_string()
        for directory in sorted(service_dir.glob("*/sql"))
        for name, statement in _statements(service_dir, directory.parent.name).items()
    }


def check_queries(service_dir: Path) -> None:
    """Like :func:`load_queries`, for the packages in a directory."""
    known = set(read_statements(service_dir))
    called: set[str] = set()
    for path in sorted(service_dir.rglob("*.py")):
        if path == Path(__file__):
            continue
        for match in _CALL.finditer(path.read_text(encoding="utf-8")):
            if match[1] is None:
                raise QueryNameError(f"{path} calls query() without a literal name.")
            called.add(match[1])
    if unknown := called - known:
        raise QueryNameError(f"There is no statement {', '.join(sorted(unknown))}.")
    if unused := known - called:
        raise QueryNameError(f"Nothing runs the statement {', '.join(sorted(unused))}.")


@cache
def _statements(service_dir: Path, package: str) -> dict[str, sql.SQL]:
    found: list[tuple[str, str]] = []
    for path in sorted((service_dir / package / "sql").glob("*.sql")):
        found += _split(path)
    names = Counter(name for name, _ in found)
    if double := [name for name, count in names.items() if count > 1]:
        raise QueryNameError(f"Package {package} has {', '.join(double)} twice.")
    return {name: sql.SQL(text) for name, text in found}


def _split(path: Path) -> list[tuple[str, str]]:
    before, *parts = _NAME_LINE.split(path.read_text(encoding="utf-8"))
    if before.strip() or not parts:
        raise QueryNameError(f"{path} must begin with a line '-- name: …'.")
    names, texts = parts[::2], parts[1::2]
    for name in names:
        if not _NAME.fullmatch(name):
            raise QueryNameError(f"'{name}' in {path} cannot be a statement's name.")
    return [(name, text.strip().removesuffix(";")) for name, text in zip(names, texts, strict=True)]
