"""Quintile's requests match Klaviyo's description and its official client."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID

import httpx
import jsonschema
import pytest
from klaviyo_api import KlaviyoAPI
from openapi_client.models.data_privacy_create_deletion_job_query import (
    DataPrivacyCreateDeletionJobQuery,
)
from openapi_client.models.event_create_query_v2 import EventCreateQueryV2
from openapi_client.models.events_bulk_create_job import EventsBulkCreateJob
from openapi_client.models.list_create_query import ListCreateQuery
from openapi_client.models.list_members_delete_query import ListMembersDeleteQuery
from openapi_client.models.profile_import_job_create_query import ProfileImportJobCreateQuery

from sandbox import Sandbox
from sandbox.klaviyo import Account
from service.core.config import Settings
from service.core.db import Connection, Pool, one, tenant_transaction
from service.core.http import open_client
from service.destinations.interface import Person
from service.destinations.push import Target, import_people, remove_people, send_events
from service.destinations.readings import SUPPRESSED, Readings
from service.klaviyo.account import (
    delete_profile,
    read_account,
    read_list_name,
    read_list_names,
    read_list_size,
    read_live_flows,
)
from service.klaviyo.client import MEDIA_TYPE, KlaviyoClient, KlaviyoError, Problem
from service.klaviyo.connection import connect_klaviyo
from service.klaviyo.destination import KlaviyoDestination
from service.klaviyo.lists import create_list
from service.klaviyo.rate_limits import LocalWindows
from tests.conftest import MakeTenant, NullProgress
from tests.klaviyo import add_and_update, klaviyo_target, via

PROPERTIES = json.dumps(
    {
        "quintile_rfm_segment": "champions",
        "quintile_rfm_previous_segment": "none",
        "quintile_rfm_segment_changed_on": "2026-07-01",
        "quintile_r_score": 5,
        "quintile_samples_received": 0,
    }
)
IMPORTS = "/api/profile-bulk-import-jobs"
# The official client's model of each body.
MODELS: dict[str, Any] = {
    f"POST {IMPORTS}": ProfileImportJobCreateQuery,
    "DELETE /api/lists/{id}/relationships/profiles": ListMembersDeleteQuery,
    "POST /api/events": EventCreateQueryV2,
    "POST /api/lists": ListCreateQuery,
    "POST /api/event-bulk-create-jobs": EventsBulkCreateJob,
    "POST /api/data-privacy-deletion-jobs": DataPrivacyCreateDeletionJobQuery,
}


class Recorded:
    """Every request that was made, with its body."""

    def __init__(self) -> None:
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> None:
        request.read()
        self.requests.append(request)


@pytest.fixture
def recorded() -> Recorded:
    return Recorded()


@pytest.fixture
def account(sandbox: Sandbox) -> Account:
    return next(iter(sandbox.accounts.values()))


@pytest.fixture
def client(sandbox: Sandbox, account: Account, recorded: Recorded) -> Iterator[KlaviyoClient]:
    headers = {
        "Authorization": f"Klaviyo-API-Key {account.key}",
        "revision": "2026-10-15",
        "Accept": MEDIA_TYPE,
    }
    with httpx.Client(headers=headers, event_hooks={"request": [recorded]}) as http:
        yield KlaviyoClient(http, sandbox.klaviyo_url, windows=LocalWindows())


@pytest.fixture
def target(
    settings: Settings,
    pool: Pool,
    make_tenant: MakeTenant,
    account: Account,
    client: KlaviyoClient,
) -> Target:
    tenant_id = make_tenant("northlight", None)
    list_id = account.list_names()[1]["id"]
    with tenant_transaction(pool, tenant_id) as conn:
        config_id = add_config(conn, tenant_id, list_id)
        conn.execute(
            """
            insert into app.klaviyo_events (
                tenant_id, config_id, email, metric, properties, is_backfill, occurred_at
            )
            select
                %s, %s, 'p' || n || '@example.org', 'Entered Segment',
                '{"segment": "rfm:champions", "r_score": 5}', n = 1, '2026-07-01 10:00:00.123+00'
            from generate_series(1, 3) as n
            """,
            [tenant_id, config_id],
        )
    return klaviyo_target(client, pool, tenant_id, config_id, list_id)


def add_config(conn: Connection, tenant_id: UUID, list_id: str) -> UUID:
    row = one(
        conn.execute(
            """
            insert into app.klaviyo_sync_configs (tenant_id, segment_key, list_id, list_name)
            values (%s, 'rfm:champions', %s, 'Champions')
            returning config_id
            """,
            [tenant_id, list_id],
        ).fetchone()
    )
    found: UUID = row["config_id"]
    return found


def row(email: str, profile_id: str | None = None) -> Person:
    return Person(email, "1", profile_id, PROPERTIES, "hash")


def client_of(target: Target) -> KlaviyoClient:
    assert isinstance(target.destination, KlaviyoDestination)
    return target.destination.client


def removed(target: Target, account: Account, progress: NullProgress) -> None:
    profile = account.create_profile({"email": "gone@example.org"})
    remove_people(target, [row("gone@example.org", profile.id)], progress)


def known_by_id(target: Target, account: Account, progress: NullProgress) -> None:
    """An addition whose address belongs to another profile is sent again with that one's id."""
    known = account.create_profile({"email": "dup@example.org"}).id
    place = "/data/attributes/profiles/data/0"
    refusals = iter([Problem("duplicate_profile", "It exists already.", place, known)])

    class Refusing(KlaviyoClient):
        def post(self, operation: str, path: str, body: Any) -> dict[str, Any]:
            for problem in refusals:
                raise KlaviyoError("Conflict.", status=409, problems=(problem,))
            return client_of(target).post(operation, path, body)

        def get(self, *asked: Any) -> dict[str, Any]:
            return client_of(target).get(*asked)

    refusing = Refusing(httpx.Client(), "", windows=LocalWindows())
    add_and_update(via(target, refusing), [row("dup@example.org")], [], progress)


Acting = Callable[[Target, Account, NullProgress], None]
ACTS: dict[str, Acting] = {
    "additions and updates": lambda target, _, progress: add_and_update(
        target, [row("ada@example.org")], [row("bob@example.org")], progress
    ),
    "additions that are looked up first": lambda target, _, progress: import_people(
        target, [row("ada@example.org"), row("o'neil+x@example.org")], "add", progress
    ),
    "properties only": lambda target, _, progress: import_people(
        target, [row("ada@example.org")], "refresh", progress
    ),
    "removals": removed,
    "single events": lambda target, _, progress: send_events(target, progress),
    "events in bulk": lambda target, _, progress: send_events(
        via(target, events_bulk_from=2), progress
    ),
    "a deleted person": lambda target, *_: delete_profile(client_of(target), "ada@example.org"),
    "a profile known by its id": known_by_id,
}


def template_of(openapi: dict[str, Any], path: str) -> str:
    """The path template in the description that matches a path."""
    for template in openapi["paths"]:
        if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", template), path):
            return str(template)
    raise AssertionError(f"Klaviyo describes no path like {path}")


def check_parameters(openapi: dict[str, Any], request: httpx.Request) -> None:
    described = openapi["paths"][template_of(openapi, request.url.path)][request.method.lower()]
    known = {each["name"]: each["schema"] for each in described.get("parameters", ())}
    for name, value in request.url.params.items():
        schema = known[name]
        if schema["type"] == "array":
            assert set(value.split(",")) <= set(schema["items"]["enum"]), name
        elif schema["type"] == "integer":
            assert schema["minimum"] <= int(value) <= schema["maximum"], name
        else:
            assert value in schema.get("enum", [value]), name


@pytest.mark.parametrize("act", ACTS)
def test_bodies_match_klaviyos_description_and_the_official_client(
    act: str,
    target: Target,
    account: Account,
    recorded: Recorded,
    klaviyo_openapi: dict[str, Any],
    null_progress: NullProgress,
) -> None:
    ACTS[act](target, account, null_progress)
    check_bodies(recorded, klaviyo_openapi)


def test_creating_a_list_matches_klaviyos_description(
    settings: Settings,
    pool: Pool,
    make_tenant: MakeTenant,
    sandbox: Sandbox,
    account: Account,
    recorded: Recorded,
    klaviyo_openapi: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    here = replace(settings, klaviyo_url=sandbox.klaviyo_url)
    tenant_id = make_tenant("northlight", None)
    connect_klaviyo(here, pool, tenant_id, account.key)

    def open_recorded(headers: dict[str, str], provider: str) -> httpx.Client:
        http = open_client(headers, provider=provider)
        http.event_hooks = {"request": [recorded]}
        return http

    monkeypatch.setattr("service.klaviyo.client.open_client", open_recorded)
    create_list(here, pool, tenant_id, "Loyal, new")
    check_bodies(recorded, klaviyo_openapi)


def check_bodies(recorded: Recorded, klaviyo_openapi: dict[str, Any]) -> None:
    written = [each for each in recorded.requests if each.method != "GET"]
    assert written
    for request in written:
        template = template_of(klaviyo_openapi, request.url.path)
        described = klaviyo_openapi["paths"][template][request.method.lower()]
        [(media_type, content)] = described["requestBody"]["content"].items()
        assert request.headers["Content-Type"] == media_type
        body = json.loads(request.content)
        schema = {**content["schema"], "components": klaviyo_openapi["components"]}
        jsonschema.validate(body, schema, jsonschema.Draft4Validator)
        model = MODELS[f"{request.method} {template}"].from_dict(body)
        # A member that the official client does not know would be lost in its model.
        assert as_sent(model.to_dict()) == as_sent(body)


def as_sent(value: Any) -> Any:
    """A body with times as text, and without the nulls of a model."""
    if isinstance(value, dict):
        return {key: as_sent(inner) for key, inner in value.items() if inner is not None}
    if isinstance(value, list):
        return [as_sent(inner) for inner in value]
    return value.isoformat() if isinstance(value, datetime) else value


def test_every_call_is_in_klaviyos_description(
    settings: Settings,
    target: Target,
    account: Account,
    client: KlaviyoClient,
    recorded: Recorded,
    klaviyo_openapi: dict[str, Any],
    null_progress: NullProgress,
) -> None:
    account.fail_import_of("late@example.org")
    read_account(client)
    read_list_name(client, target.list_id)
    read_list_names(client)
    read_list_size(client, target.list_id)
    read_live_flows(client, target.list_id)
    add_and_update(target, [row("late@example.org")], [], null_progress)
    for act in ACTS.values():
        act(target, account, null_progress)
    # A full read, and a read of the joins since.
    for _ in range(2):
        with ExitStack() as spools:
            readings = Readings(settings, target.destination, target.pool, target.tenant_id, spools)
            readings.read(target.list_id)
            readings.read(SUPPRESSED)
            with (
                tenant_transaction(target.pool, target.tenant_id) as conn,
                readings.loading(conn, target.list_id, SUPPRESSED),
            ):
                pass
    assert len({(each.method, each.url.path) for each in recorded.requests}) >= 12
    for request in recorded.requests:
        check_parameters(klaviyo_openapi, request)
        assert request.headers["revision"] == KlaviyoAPI._REVISION == "2026-10-15"


@pytest.mark.parametrize("body", ["additions and updates", "single events"])
def test_a_misspelt_member_is_detected(
    body: str,
    target: Target,
    account: Account,
    recorded: Recorded,
    null_progress: NullProgress,
) -> None:
    """The comparison above detects a member that Klaviyo does not know."""
    ACTS[body](target, account, null_progress)
    request = next(each for each in recorded.requests if each.method == "POST")
    sent = json.loads(request.content)
    sent["data"]["attributes"]["propertees"] = {}
    model = MODELS[f"POST {request.url.path}"].from_dict(sent)
    assert as_sent(model.to_dict()) != as_sent(sent)
