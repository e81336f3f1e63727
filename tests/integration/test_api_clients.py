"""Clients in Python and TypeScript are generated from the OpenAPI document and work."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest
from apiflask import APIFlask

from service.core.config import PROJECT_DIR, Settings
from service.core.db import connect_as_owner
from service.tenants.tenants import add_tenant
from tests.served import Served, served
from tests.web import openapi_of, token_for

CLIENTS = PROJECT_DIR / "tests" / "clients"
EXPECTED = {"same": True, "handles": ["ada"], "problem": 404}


@pytest.fixture
def settings(built_settings: Settings) -> Settings:
    return built_settings


@pytest.fixture
def tenant(settings: Settings) -> UUID:
    with connect_as_owner(settings) as conn:
        return add_tenant(conn, "north", None)


@pytest.fixture
def document(app: APIFlask, tmp_path: Path) -> Path:
    """The OpenAPI document as a file."""
    path = tmp_path / "openapi.json"
    path.write_text(json.dumps(openapi_of(app)))
    return path


@pytest.fixture
def service(settings: Settings) -> Iterator[Served]:
    with served(settings) as running:
        yield running


@pytest.fixture(scope="session")
def npm_modules() -> Path:
    """The npm packages of the TypeScript client, installed once."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("npm is not installed (Debian: apt-get install npm)")
    lock = CLIENTS / "package-lock.json"
    digest = hashlib.sha256(lock.read_bytes()).hexdigest()[:12]
    directory = PROJECT_DIR / ".quintile" / "test" / f"npm-{digest}"
    if not (directory / "node_modules" / ".package-lock.json").exists():
        directory.mkdir(parents=True, exist_ok=True)
        for name in ("package.json", "package-lock.json"):
            shutil.copy(CLIENTS / name, directory)
        run(npm, "ci", "--no-audit", "--no-fund", cwd=directory)
    return directory


def run(*command: str | Path, cwd: Path) -> str:
    done = subprocess.run(
        list(map(str, command)),
        cwd=cwd,
        # The generator of the Python client formats it with ruff.
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_a_python_client_is_generated_without_warnings_and_works(
    document: Path, service: Served, settings: Settings, tenant: UUID
) -> None:
    printed = run(
        *("openapi-python-client", "generate", "--path", document, "--fail-on-warning"),
        *("--output-path", "quintile_client", "--meta", "none"),
        cwd=document.parent,
    )
    assert printed.strip() == "Generating quintile_client"
    shutil.copy(CLIENTS / "sample.py", document.parent)
    answer = run(
        sys.executable, "sample.py", service.url, token_for(settings, tenant), cwd=document.parent
    )
    assert json.loads(answer) == EXPECTED


def test_a_typescript_client_is_generated_without_warnings_and_works(
    document: Path, service: Served, settings: Settings, tenant: UUID, npm_modules: Path
) -> None:
    here = document.parent
    (here / "node_modules").symlink_to(npm_modules / "node_modules")
    for name in ("package.json", "sample.ts"):
        shutil.copy(CLIENTS / name, here)
    binaries = npm_modules / "node_modules" / ".bin"
    printed = run(binaries / "openapi-typescript", document, "--output", "types.ts", cwd=here)
    assert "warn" not in printed.lower()
    run(
        *(binaries / "tsc", "--strict", "--target", "es2022", "--module", "nodenext"),
        *("--skipLibCheck", "--lib", "es2022,dom", "sample.ts"),
        cwd=here,
    )
    answer = run("node", "sample.js", service.url, token_for(settings, tenant), cwd=here)
    assert json.loads(answer) == EXPECTED
