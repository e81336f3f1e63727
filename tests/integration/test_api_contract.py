"""The API matches its OpenAPI description and docs/api.md, for any input."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from dataclasses import replace
from http import HTTPStatus
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import schemathesis
from apiflask import APIFlask
from hypothesis import HealthCheck, assume, given
from hypothesis import settings as hypothesis_settings
from hypothesis.errors import Unsatisfiable
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import positive_data_acceptance

from sandbox import Sandbox
from service.core.config import Settings
from service.core.db import connect_as_owner
from service.notifications.topics import TEST, TOPICS
from service.tenants.tenants import add_tenant
from tests.web import (
    add_explanations,
    add_history,
    add_samples,
    add_scored_customers,
    add_shopify_segments,
    openapi_of,
    running_app,
    token_for,
)

# Inputs for each operation, credential and kind of input.
_EXAMPLES = int(os.environ.get("CONTRACT_EXAMPLES", "5"))
_REFUSED = {HTTPStatus.UNAUTHORIZED, HTTPStatus.NOT_FOUND}
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
    return schemathesis.openapi.from_wsgi("/api/openapi.json", app)


@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
def test_every_response_matches_openapi(described: Any, token: str, mode: GenerationMode) -> None:
    for result in described.get_all_operations():
        call_with_many_inputs(described, result.ok(), token, mode)


@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
def test_every_response_without_a_credential_matches_openapi(
    described: Any, mode: GenerationMode
) -> None:
    for result in described.get_all_operations():
        # Most are refused before anything is read, whatever is sent.
        call_with_many_inputs(described, result.ok(), None, mode, examples=max(_EXAMPLES // 3, 1))


def _literals(described: Any) -> set[str]:
    """The parts of all paths that are no parameters."""
    return {part for path in described.raw_schema["paths"] for part in path.split("/")}


def call_with_many_inputs(
    described: Any,
    operation: Any,
    token: str | None,
    mode: GenerationMode,
    examples: int = _EXAMPLES,
) -> None:
    """Send valid or invalid inputs, and check the responses."""
    # In this process nothing would decompress the answers.
    headers = {"Accept-Encoding": "identity"}
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    is_refused = token is None and operation.definition.raw["security"] != []

    @hypothesis_settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def call(case: Any) -> None:
        # samples/settings is another route than samples/{order_id}, and an object or a list in a
        # query would be sent as its text.
        assume(not _literals(described).intersection(map(str, case.path_parameters.values())))
        assume(not any(isinstance(value, (dict, list)) for value in case.query.values()))
        answer = case.call_and_validate(
            headers=headers,
            # OpenAPI allows any text as a cursor; the lists refuse cursors that are not theirs.
            excluded_checks=[positive_data_acceptance],
        )
        # A path that no route has is not found, with and without a credential.
        assert not is_refused or answer.status_code in _REFUSED, (case.method, case.formatted_path)

    try:
        call()
    except Unsatisfiable:
        assert mode is GenerationMode.NEGATIVE, "an operation without input has no invalid one"


def test_every_route_is_documented(app: APIFlask) -> None:
    documented = set(
        re.findall(r"`(GET|POST|PUT|PATCH|DELETE) (/[^`?]*)`", DOCS.read_text(encoding="utf-8"))
    )
    routes = {
        (method, re.sub(r"<(uuid|path):", "<", rule.rule))
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    assert routes == documented


def test_openapi_describes_the_whole_api(app: APIFlask) -> None:
    operations = list(operations_of(app))
    routes = {
        (re.sub(r"<(?:[^:>]+:)?([^>]+)>", r"{\1}", rule.rule), method.lower())
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
        # Not described: pages, redirects, and the document itself.
        if not rule.endpoint.startswith(("admin.", "openapi."))
        and rule.endpoint not in ("health.start", "health.former_openapi")
    }
    assert {(path, method) for path, method, _ in operations} == routes
    ids = [operation["operationId"] for _, _, operation in operations]
    assert len(set(ids)) == len(ids)
    for path, method, operation in operations:
        where = (path, method)
        assert operation["summary"], where
        statuses = set(operation["responses"])
        assert "default" not in statuses, where
        assert {"500"} < statuses, where
        if not path.startswith("/api/"):
            assert operation["security"] == [], where
            continue
        assert operation["security"] == [{"token": []}, {"session": []}], where
        assert {"401", "403", "422", "429", "503"} < statuses, where
        assert ("404" in statuses) >= ("{" in path), where
        names = {parameter.get("$ref") for parameter in operation["parameters"]}
        if method != "get":
            assert "#/components/parameters/IdempotencyKey" in names, where
            assert "409" in statuses, where
        elif "application/json" in operation["responses"]["200"]["content"]:
            assert "#/components/parameters/IfNoneMatch" in names, where
            assert "304" in statuses, where


def operations_of(app: APIFlask) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, operations in openapi_of(app)["paths"].items():
        for method, operation in operations.items():
            yield path, method, operation


def test_openapi_is_valid_and_every_model_has_one_name(app: APIFlask) -> None:
    document = openapi_of(app)
    assert document["openapi"].startswith("3.1")
    OpenAPIV31SpecValidator(document).validate()
    schemas = document["components"]["schemas"]
    assert all(re.fullmatch(r"[A-Za-z]+", name) for name in schemas)
    text = json.dumps(document)
    for kind in ("schemas", "responses", "parameters", "headers"):
        for name in document["components"][kind]:
            assert f"#/components/{kind}/{name}" in text, name


def test_every_answer_and_body_has_an_example_that_matches(app: APIFlask) -> None:
    document = openapi_of(app)
    checked = 0
    for path, method, operation in operations_of(app):
        contents = [operation.get("requestBody", {}), *operation["responses"].values()]
        for content in contents:
            media = content.get("content", {}).get("application/json")
            if media is None:
                continue
            errors = validator_of(document, media["schema"]).iter_errors(media["example"])
            assert [error.message for error in errors] == [], (path, method)
            checked += 1
        for parameter in operation["parameters"]:
            if parameter.get("required"):
                validator = validator_of(document, parameter["schema"])
                assert validator.is_valid(parameter["example"]), (path, parameter["name"])
    for response in document["components"]["responses"].values():
        media = response["content"]["application/problem+json"]
        for slug, example in media["examples"].items():
            assert validator_of(document, media["schema"]).is_valid(example["value"]), slug
    assert checked > 80


def test_every_topic_of_outgoing_webhooks_is_described(app: APIFlask) -> None:
    document = openapi_of(app)
    assert set(document["webhooks"]) == {*TOPICS, TEST}
    for topic, described in document["webhooks"].items():
        media = described["post"]["requestBody"]["content"]["application/json"]
        assert validator_of(document, media["schema"]).is_valid(media["example"]), topic
        assert media["example"]["type"] == topic


def validator_of(document: dict[str, Any], schema: dict[str, Any]) -> Draft202012Validator:
    whole = {"components": document["components"], **schema}
    return Draft202012Validator(whole, format_checker=Draft202012Validator.FORMAT_CHECKER)


def test_the_former_address_of_openapi_leads_to_the_new_one(app: APIFlask) -> None:
    answer = app.test_client().get("/openapi.json")
    assert (answer.status_code, answer.headers["Location"]) == (308, "/api/openapi.json")


def test_what_was_created_has_its_path_in_location(app: APIFlask, token: str) -> None:
    client = app.test_client()
    headers = {"Authorization": f"Bearer {token}"}
    for path, body, name in (
        ("/api/admin/creators", {"handle": "grace"}, "creator_id"),
        ("/api/admin/tokens", {"label": "Checkout"}, "token_id"),
    ):
        answer = client.post(path, json=body, headers=headers)
        assert answer.headers["Location"] == f"{path}/{answer.get_json()[name]}"
        found = client.get(answer.headers["Location"], headers=headers)
        assert found.status_code == 200
    link = client.post("/api/admin/sign-in-links", json={"person": "Ada"}, headers=headers)
    assert (link.status_code, "Location" in link.headers) == (201, False)
