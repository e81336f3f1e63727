"""The licences of what is installed, as ``docs/licences.md``: ``make licences``.

Each is what the package's metadata says: its SPDX expression, else its licence field, else its
classifiers.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

PROJECT_DIR = Path(__file__).resolve().parents[1]
PAGE = PROJECT_DIR / "docs" / "licences.md"
_PIN = re.compile(r"^([A-Za-z0-9_.-]+)==([^\s;\\]+)", re.MULTILINE)
# A licence field may hold the whole text.
_LONGEST = 60
_HEAD = """\
# Licences

What Quintile installs, with the licence that each package's metadata names. `make licences` writes
this page, and a test compares it with what is installed. What is for "service" is needed by the
service, the rest by tests and linters only.

| package | version | licence | for |
| --- | --- | --- | --- |
"""


def pins(name: str) -> dict[str, str]:
    """The versions in a list of requirements, by normalized name."""
    text = (PROJECT_DIR / name).read_text(encoding="utf-8")
    return {normalized(found): version for found, version in _PIN.findall(text)}


def normalized(name: str) -> str:
    """A package's name as package indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def licence_of(name: str, version: str) -> str | None:
    """The licence of an installed package; None if it is not installed in this version."""
    try:
        metadata = distribution(name).metadata
    except PackageNotFoundError:
        return None
    if metadata["Version"] != version:
        return None
    found = metadata.get("License-Expression") or metadata.get("License") or ""
    if found and "\n" not in found and len(found) <= _LONGEST:
        return found
    names = [
        each.rpartition(" :: ")[2]
        for each in metadata.get_all("Classifier") or ()
        if each.startswith("License :: ")
    ]
    return ", ".join(dict.fromkeys(names)) or "not named"


def rows() -> Iterator[str]:
    """A row of the page for each package that is installed."""
    runtime = pins("requirements.txt")
    for name, version in sorted(pins("requirements-dev.txt").items()):
        if (licence := licence_of(name, version)) is not None:
            use = "service" if name in runtime else "development"
            yield f"| {name} | {version} | {licence} | {use} |"


if __name__ == "__main__":
    print(_HEAD + "\n".join(rows()))
