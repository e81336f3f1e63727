"""The API matches its OpenAPI description and docs/api.md, for any input."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import schemathesis
from apiflask import APIFlask
from hypothesis import HealthCheck, assume, given
from hypothesis import settings as hypothesis_settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import positive_data_acceptance

from sandbox import Sandbox
from service.core.config import Settings
from service.core.db import connect_as_owner
from service.tenants.tenants import add_tenant
from tests.web import (
    add_explanations,
    add_history,
    add_samples,
    add_scored_customers,
    add_shopify_segments,
    running_app,
    token_for,
)

DOCS = Path(__file__).resolve().parents[2] / "docs" / "api.md"


@pytest.fixture(scope="module")
def settings(cluster: Any, built_template: str) -> Iterator[Settings]:
    """Settings with a sandbox Klaviyo, which refuses the generated keys.

    Failed credentials are not counted: the tests send many from one address.
    """
    with Sandbox([], []) as sandbox, cluster.database(built_template) as settings:
        yield replace(settings, klaviyo_url=sandbox.klaviyo_url, failed_logins_per_minute=0)


@pytest.fixture(scope="module")
def app(settings: Settings) -> Iterator[APIFlask]:
    with running_app(settings) as app:
        yield app


@pytest.fixture(scope="module")
def tenant(settings: Settings) -> UUID:
    with connect_as_owner(settings) as conn:
        tenant_id = add_tenant(conn, "north", None)
    add_scored_customers(settings, tenant_id, [("1", "new", "1.50"), ("2", "loyal", "2.50")])
    add_explanations(settings, tenant_id, ("few_customers", "no_recent_order"))
    add_history(settings, tenant_id, {"2026-06-01": {"1": "new"}, "2026-07-01": {"1": "loyal"}})
    add_samples(settings, tenant_id, [{"order_id": "1"}, {"order_id": "2", "is_tiktok": True}])
    add_shopify_segments(settings, tenant_id, ["One", "Two"])
    return tenant_id


@pytest.fixture(scope="module")
def token(settings: Settings, tenant: UUID) -> str:
    return token_for(settings, tenant)


@pytest.fixture(scope="module")
def described(app: APIFlask) -> Any:
    return schemathesis.openapi.from_wsgi("/openapi.json", app)


@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
def test_every_response_matches_openapi(described: Any, token: str, mode: GenerationMode) -> None:
    for result in described.get_all_operations():
        call_with_many_inputs(described, result.ok(), token, mode)


def _literals(described: Any) -> set[str]:
    """The parts of all paths that are no parameters."""
    return {part for path in described.raw_schema["paths"] for part in path.split("/")}


def call_with_many_inputs(described: Any, operation: Any, token: str, mode: GenerationMode) -> None:
    """Send valid or invalid inputs, and check the responses."""

    @hypothesis_settings(
        max_examples=15,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def call(case: Any) -> None:
        # samples/settings is another route than samples/{order_id}, and an object in a query would
        # be sent as its text.
        assume(not _literals(described).intersection(map(str, case.path_parameters.values())))
        assume(not any(isinstance(value, dict) for value in case.query.values()))
        case.call_and_validate(
            # In this process nothing would decompress the answers.
            headers={"Authorization": f"Bearer {token}", "Accept-Encoding": "identity"},
            # OpenAPI allows any text as a cursor; the lists refuse cursors that are not theirs.
            excluded_checks=[positive_data_acceptance],
        )

    try:
        call()
    except Unsatisfiable:
        assert mode is GenerationMode.NEGATIVE, "an operation without input has no invalid one"


def test_every_route_is_documented(app: APIFlask) -> None:
    documented = set(
        re.findall(r"`(GET|POST|PUT|PATCH|DELETE) (/[^`?]*)`", DOCS.read_text(encoding="utf-8"))
    )
    routes = {
        (method, re.sub(r"<uuid:", "<", rule.rule))
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    assert routes == documented


def test_openapi_describes_the_whole_api(app: APIFlask) -> None:
    described = app.test_client().get("/openapi.json").get_json()["paths"]
    routes = {
        re.sub(r"<(?:[^:>]+:)?([^>]+)>", r"{\1}", rule.rule)
        for rule in app.url_map.iter_rules()
        if rule.rule.startswith("/api/")
    }
    assert set(described) == routes
    for operations in described.values():
        for operation in operations.values():
            assert operation["security"] == [{"token": []}, {"session": []}]
            assert operation["summary"]
            assert "default" in operation["responses"]
