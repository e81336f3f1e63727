"""What is installed is in the lists, with the hash of each file and its licence."""

from __future__ import annotations

import re
import stat
import sys
import tomllib
from pathlib import Path

import pytest

from tests.audit import FOUND, UNKNOWN, audit
from tests.conftest import PROJECT_DIR
from tests.licences import PAGE, licence_of, normalized, pins

LISTS = ("requirements.txt", "requirements-dev.txt")


def declared(*extras: str) -> set[str]:
    """The packages that pyproject.toml and the build of the project ask for."""
    with (PROJECT_DIR / "pyproject.toml").open("rb") as file:
        project = tomllib.load(file)["project"]
    asked = [*project["dependencies"], "hatchling", "editables"]
    for extra in extras:
        asked += project["optional-dependencies"][extra]
    return {normalized(re.split(r"[^A-Za-z0-9_.-]", each, maxsplit=1)[0]) for each in asked}


@pytest.mark.parametrize("name", LISTS)
def test_every_requirement_has_a_version_and_hashes(name: str) -> None:
    text = (PROJECT_DIR / name).read_text(encoding="utf-8").replace("\\\n", " ")
    lines = text.splitlines()
    assert len(lines) > 90
    pinned = re.compile(r"[\w.-]+==[\w.]+( ; [^#]+?)?( +--hash=sha256:[0-9a-f]{64})+")
    assert [line for line in lines if not pinned.fullmatch(line)] == []


def test_wheels_of_other_platforms_have_hashes_too() -> None:
    """A package with compiled code has a file for each platform and version of Python."""
    text = (PROJECT_DIR / "requirements.txt").read_text(encoding="utf-8").replace("\\\n", " ")
    compiled = [line for line in text.splitlines() if line.startswith(("gevent==", "cffi=="))]
    assert len(compiled) == 2
    assert all(line.count("--hash=") > 20 for line in compiled)


def test_the_lists_have_the_versions_of_the_constraints_and_no_others() -> None:
    allowed, runtime, everything = pins("constraints.txt"), *map(pins, LISTS)
    assert everything == allowed
    assert runtime == {name: everything[name] for name in runtime}
    assert declared() <= runtime.keys()
    assert declared("dev") <= everything.keys()
    assert {"setuptools", "importlib-metadata"} <= everything.keys()


def test_the_base_image_has_a_digest() -> None:
    text = (PROJECT_DIR / "deploy" / "Dockerfile").read_text(encoding="utf-8")
    assert re.findall(r"^FROM (.*)$", text, re.MULTILINE) == ["${PYTHON_IMAGE}"]
    assert re.search(r"^ARG PYTHON_IMAGE=python:[\w.-]+@sha256:[0-9a-f]{64}$", text, re.MULTILINE)


def test_the_page_of_licences_is_what_the_packages_say() -> None:
    rows = [
        tuple(cell.strip() for cell in line.strip("|").split("|"))
        for line in PAGE.read_text(encoding="utf-8").splitlines()
        if line.startswith("| ") and not line.startswith(("| package", "| ---"))
    ]
    runtime = pins("requirements.txt")
    assert {name: version for name, version, *_ in rows} == pins("requirements-dev.txt")
    assert {name for name, *_, use in rows if use == "service"} == runtime.keys()
    checked = 0
    for name, version, licence, _ in rows:
        # An environment that was set up before a change of the list has another version.
        if (found := licence_of(name, version)) is not None:
            assert licence == found, name
            checked += 1
    assert checked > 100


@pytest.mark.parametrize(
    ("output", "code"),
    [
        ('{"dependencies": [{"name": "a", "version": "1", "vulns": []}]}', 0),
        (
            '{"dependencies": [{"name": "a", "version": "1", "vulns":'
            ' [{"id": "PYSEC-1", "fix_versions": ["2"]}]}]}',
            FOUND,
        ),
        ('{"dependencies": [{"name": "a", "skip_reason": "not found"}]}', UNKNOWN),
        ('{"dependencies": []}', UNKNOWN),
        ("", UNKNOWN),
    ],
)
def test_an_audit_without_advisories_is_no_success(tmp_path: Path, output: str, code: int) -> None:
    command = tmp_path / "pip-audit"
    command.write_text(f"#!{sys.executable}\nprint({output!r})\n")
    command.chmod(command.stat().st_mode | stat.S_IXUSR)
    assert audit(str(command), "requirements.txt") == code
    assert audit(str(tmp_path / "none"), "requirements.txt") == UNKNOWN
