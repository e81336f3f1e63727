"""Fixtures of the tests that install Quintile into another dbt project."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.package import PACKAGE, Dbt, connection_environment, plain_dbt
from tests.warm_dbt import run as warm_dbt


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the analyst's project, with Quintile installed by its path."""
    project = tmp_path_factory.mktemp("package") / "project"
    shutil.copytree(PACKAGE, project)
    plain_dbt(project, "postgresql://nobody@/nowhere?host=/nonexistent", "deps")
    return project


@pytest.fixture(scope="module")
def dbt(project: Path) -> Dbt:
    """dbt in the project, started warm."""

    def run(
        url: str,
        *arguments: str,
        variables: dict[str, Any],
        expect: int | None = 0,
        **environment: str,
    ) -> str:
        # When a build is, is no part of what is parsed.
        parsed = {name: value for name, value in variables.items() if name != "as_of"}
        status, printed = warm_dbt(
            project,
            project / "parsed" / environment["ACME_SCHEMA"],
            parsed,
            *("--warn-error", *arguments, "--vars", json.dumps(variables)),
            environment={**connection_environment(url), **environment},
        )
        assert expect in (None, status), printed
        return printed

    return run
