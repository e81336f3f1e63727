"""Every test of isolation runs twice: directly and through PgBouncer."""

from __future__ import annotations

import pytest

from service.core.config import Settings
from tests.conftest import pooled_settings


@pytest.fixture(params=["direct", "PgBouncer"])
def through(request: pytest.FixtureRequest) -> str:
    """How the service connects to the database."""
    return str(request.param)


def _routed(settings: Settings, through: str, request: pytest.FixtureRequest) -> Settings:
    if through == "direct":
        return settings
    return pooled_settings(settings, request.getfixturevalue("pooler"))


@pytest.fixture
def settings(settings: Settings, through: str, request: pytest.FixtureRequest) -> Settings:
    """The suite's fixture, connected in either way."""
    return _routed(settings, through, request)


@pytest.fixture
def built_demo(built_demo: Settings, through: str, request: pytest.FixtureRequest) -> Settings:
    """The suite's fixture, connected in either way."""
    return _routed(built_demo, through, request)
