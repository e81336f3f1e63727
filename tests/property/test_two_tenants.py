"""Random calls of two tenants with equal names and ids: neither sees anything of the other.

The model holds what each tenant has. ``ISOLATION_STEPS=10000`` sets how many calls are made.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID, uuid4

import pytest
from apiflask import APIFlask
from flask.testing import FlaskClient
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test
from werkzeug.test import TestResponse

from service.core.config import Settings
from service.core.db import connect, connect_as_owner
from service.tenants.tenants import add_tenant, change_tenant
from tests.clones import open_policies
from tests.conftest import Cluster
from tests.web import (
    add_samples,
    add_scored_customers,
    add_shopify_segments,
    client_of,
    running_app,
)

STEPS = int(os.environ.get("ISOLATION_STEPS", "300"))
STEPS_OF_A_STORY = 50

API = "/api/admin"
CREATORS, TOKENS, CODES = f"{API}/creators", f"{API}/tokens", f"{API}/promo-codes"
SAMPLES, CUSTOMERS, SEGMENTS = f"{API}/samples", f"{API}/customers", f"{API}/segments"

CONNECTED = """
    insert into app.connections (
        tenant_id, provider, sealed_secret, key_id, last_four, scopes
    )
    values (%s, 'shopify', '', 'none', 'abcd', array['write_discounts'])
"""

who = st.sampled_from((0, 1))
# Few, so that both tenants have the same.
names = st.sampled_from(("ada", "bob", "eve"))
numbers = st.sampled_from(("1", "2", "3"))
picked = st.integers(0, 5)


@dataclass
class World:
    """The service, which all stories use one after the other."""

    settings: Settings
    app: APIFlask
    steps: int = 0


@dataclass
class Tenant:
    """What a tenant has, by the calls that succeeded."""

    client: FlaskClient
    tenant_id: UUID
    segments: list[str]
    creators: dict[str, str] = field(default_factory=dict)
    tokens: dict[str, str] = field(default_factory=dict)
    codes: dict[str, str] = field(default_factory=dict)
    runs: set[str] = field(default_factory=set)
    # Of each sample, its creator; of each customer, their segment.
    samples: dict[str, str | None] = field(default_factory=dict)
    customers: dict[str, str] = field(default_factory=dict)
    window_days: int = 365
    tags: list[str] | None = None

    def call(
        self, method: str, path: str, expect: int, body: dict[str, Any] | None = None
    ) -> TestResponse:
        answer = self.client.open(path, method=method, json=body)
        # A change that starts a build is accepted; one that changes nothing starts none.
        status = expect if (expect, answer.status_code) == (200, 202) else answer.status_code
        assert status == expect, (method, path, body, answer.text)
        return answer

    def get(self, path: str) -> Any:
        return self.call("GET", path, 200).get_json()

    def rows(self, path: str) -> list[dict[str, Any]]:
        return list(self.get(f"{path}?limit=100")["data"])


class TwoTenants(RuleBasedStateMachine):
    """A story of calls."""

    world: World

    def __init__(self) -> None:
        super().__init__()
        self.tenants = []
        for segments in (["VIPs"], ["New in town", "Wholesale"]):
            with connect_as_owner(self.world.settings) as owner:
                tenant_id = add_tenant(owner, f"store-{uuid4()}", None)
                change_tenant(owner, tenant_id, currency="EUR")
                owner.execute(CONNECTED, [tenant_id])
            add_shopify_segments(self.world.settings, tenant_id, segments)
            client = client_of(self.world.app, self.world.settings, tenant_id)
            self.tenants.append(Tenant(client, tenant_id, segments))
        # A story may do without a rule, so that each begins with one of everything.
        for number, order in enumerate("12"):
            self.add_creator(number, "ada")
            self.create_token(number, "ada")
            self.create_promo_code(number, ("ada", "bob")[number])
            self.find_sample(number, order)
            self.score_customer(number, order, "champions")
            self.start_build(number)

    def of(self, number: int) -> tuple[Tenant, Tenant]:
        """The tenant that calls, and the other one."""
        self.world.steps += 1
        return self.tenants[number], self.tenants[1 - number]

    # -- creators

    @rule(who=who, name=names)
    def add_creator(self, who: int, name: str) -> None:
        mine, _ = self.of(who)
        is_new = name not in mine.creators.values()
        answer = mine.call("POST", CREATORS, 201 if is_new else 422, {"handle": name})
        if is_new:
            mine.creators[answer.get_json()["creator_id"]] = name

    @rule(who=who, at=picked, name=names)
    def rename_creator(self, who: int, at: int, name: str) -> None:
        mine, other = self.of(who)
        for creator in list(other.creators)[at:]:
            mine.call("PATCH", f"{CREATORS}/{creator}", 404, {"handle": name})
        for creator in list(mine.creators)[at : at + 1]:
            is_free = name not in {**mine.creators, creator: ""}.values()
            mine.call("PATCH", f"{CREATORS}/{creator}", 200 if is_free else 422, {"handle": name})
            if is_free:
                mine.creators[creator] = name

    @rule(who=who, at=picked)
    def delete_creator(self, who: int, at: int) -> None:
        mine, other = self.of(who)
        for creator in other.creators:
            mine.call("DELETE", f"{CREATORS}/{creator}", 404)
        for creator in list(mine.creators)[at : at + 1]:
            mine.call("DELETE", f"{CREATORS}/{creator}", 204)
            del mine.creators[creator]
            for order, linked in mine.samples.items():
                mine.samples[order] = None if linked == creator else linked

    @rule(who=who)
    def merge_with_a_foreign_creator(self, who: int) -> None:
        mine, other = self.of(who)
        for foreign in other.creators:
            for own in mine.creators:
                mine.call("POST", f"{CREATORS}/{own}/merge", 404, {"creator_id": foreign})
                mine.call("POST", f"{CREATORS}/{foreign}/merge", 404, {"creator_id": own})

    @rule(who=who)
    def read_creators(self, who: int) -> None:
        mine, other = self.of(who)
        found = {row["creator_id"]: row["handle"] for row in mine.rows(CREATORS)}
        assert found == mine.creators
        for creator in other.creators:
            mine.call("GET", f"{CREATORS}/{creator}", 404)

    # -- samples, which builds find

    @rule(who=who, order=numbers)
    def find_sample(self, who: int, order: str) -> None:
        mine, _ = self.of(who)
        if order not in mine.samples:
            add_samples(
                self.world.settings,
                mine.tenant_id,
                [{"order_id": order, "customer_name": str(mine.tenant_id)}],
            )
            mine.samples[order] = None

    @rule(who=who, order=numbers, at=picked)
    def choose_creator(self, who: int, order: str, at: int) -> None:
        mine, other = self.of(who)
        is_mine = order in mine.samples
        path = f"{SAMPLES}/{order}/creator"
        for creator in other.creators:
            mine.call("POST", path, 422 if is_mine else 404, {"creator_id": creator})
        for creator in list(mine.creators)[at : at + 1]:
            mine.call("POST", path, 200 if is_mine else 404, {"creator_id": creator})
            if is_mine:
                mine.samples[order] = creator

    @rule(who=who)
    def read_samples(self, who: int) -> None:
        mine, other = self.of(who)
        rows = mine.rows(SAMPLES)
        assert {row["order_id"]: row["creator_id"] for row in rows} == mine.samples
        assert {row["customer_name"] for row in rows} <= {str(mine.tenant_id)}
        text = mine.call("GET", f"{SAMPLES}.csv", 200).text
        assert str(other.tenant_id) not in text
        for order in set(other.samples) - set(mine.samples):
            mine.call("GET", f"{SAMPLES}/{order}", 404)

    # -- customers and segments

    @rule(who=who, customer=numbers, segment=st.sampled_from(("champions", "loyal")))
    def score_customer(self, who: int, customer: str, segment: str) -> None:
        mine, _ = self.of(who)
        if customer not in mine.customers:
            row = (customer, segment, f"{who + 1}.00")
            add_scored_customers(self.world.settings, mine.tenant_id, [row])
            mine.customers[customer] = segment

    @rule(who=who)
    def read_customers(self, who: int) -> None:
        mine, other = self.of(who)
        rows = mine.rows(f"{SEGMENTS}/rfm/customers")
        assert {row["customer_id"]: row["segment"] for row in rows} == mine.customers
        for segment in ("champions", "loyal"):
            members = mine.rows(f"{SEGMENTS}/rfm:{segment}/customers")
            expected = {one for one, its in mine.customers.items() if its == segment}
            assert {row["customer_id"] for row in members} == expected
        assert {row["customer_id"] for row in mine.rows(CUSTOMERS)} == set(mine.customers)
        for customer in set(other.customers) - set(mine.customers):
            mine.call("GET", f"{CUSTOMERS}/{customer}", 404)

    @rule(who=who)
    def read_segments(self, who: int) -> None:
        mine, other = self.of(who)
        names = sorted(row["name"] for row in mine.rows(f"{SEGMENTS}/shopify"))
        assert names == sorted(mine.segments)
        for number, name in enumerate(mine.segments, start=1):
            assert mine.get(f"{SEGMENTS}/shopify:{number}")["name"] == name
        for number in range(len(mine.segments) + 1, len(other.segments) + 1):
            for path in ("", "/customers", "/sizes", "/changes"):
                mine.call("GET", f"{SEGMENTS}/shopify:{number}{path}", 404)
        figures = mine.get(f"{SEGMENTS}/rfm")
        assert figures["customers"] == len(mine.customers)

    # -- settings

    @rule(who=who, days=st.sampled_from((90, 180, 400)), tag=names)
    def change_settings(self, who: int, days: int, tag: str) -> None:
        mine, _ = self.of(who)
        mine.call("PATCH", f"{SEGMENTS}/rfm/settings", 200, {"window_days": days})
        mine.call("PATCH", f"{SAMPLES}/settings", 200, {"ugc_tags": [tag]})
        mine.window_days, mine.tags = days, [tag]

    @rule(who=who)
    def read_settings(self, who: int) -> None:
        mine, other = self.of(who)
        assert mine.get(f"{SEGMENTS}/rfm/settings")["window_days"] == mine.window_days
        if mine.tags is not None:
            assert mine.get(f"{SAMPLES}/settings")["ugc_tags"] == mine.tags
        for change in other.rows(f"{SAMPLES}/settings/history"):
            body = {"change_id": change["change_id"]}
            mine.call("POST", f"{SAMPLES}/settings/undo", 422, body)

    # -- promo codes and runs

    @rule(who=who, code=names)
    def create_promo_code(self, who: int, code: str) -> None:
        mine, _ = self.of(who)
        body = {
            "code": code,
            "title": str(mine.tenant_id),
            "percentage": 0.2,
            "segments": ["shopify:1"],
        }
        is_new = code not in mine.codes
        mine.call("POST", CODES, 202 if is_new else 422, body)
        if is_new:
            mine.codes[code] = str(mine.tenant_id)

    @rule(who=who, code=names, title=names)
    def change_promo_code(self, who: int, code: str, title: str) -> None:
        mine, _ = self.of(who)
        is_mine = code in mine.codes
        mine.call("PATCH", f"{CODES}/{code}", 202 if is_mine else 404, {"title": title})
        if is_mine:
            mine.codes[code] = title

    @rule(who=who, code=names)
    def read_promo_codes(self, who: int, code: str) -> None:
        mine, _ = self.of(who)
        assert {row["code"]: row["title"] for row in mine.rows(CODES)} == mine.codes
        for path in ("", "/history", "/check?customer=1"):
            mine.call("GET", f"{CODES}/{code}{path}", 200 if code in mine.codes else 404)

    @rule(who=who)
    def start_build(self, who: int) -> None:
        mine, other = self.of(who)
        run = mine.call("POST", f"{SEGMENTS}/rfm/calculate", 202).get_json()["run_id"]
        assert run not in other.runs
        mine.runs.add(run)

    @rule(who=who)
    def read_runs(self, who: int) -> None:
        mine, other = self.of(who)
        found = {row["run_id"] for row in mine.rows(f"{API}/runs")}
        assert mine.runs <= found
        assert not found & {row["run_id"] for row in other.rows(f"{API}/runs")}
        for run in other.runs:
            mine.call("GET", f"{API}/runs/{run}", 404)

    # -- tokens

    @rule(who=who, label=names)
    def create_token(self, who: int, label: str) -> None:
        mine, _ = self.of(who)
        made = mine.call("POST", TOKENS, 201, {"label": label, "scope": "read"}).get_json()
        mine.tokens[made["token_id"]] = label
        bearer = {"Authorization": f"Bearer {made['token']}"}
        me = self.world.app.test_client().get(f"{API}/me", headers=bearer).get_json()
        assert me["tenant_id"] == str(mine.tenant_id)

    @rule(who=who, at=picked)
    def revoke_token(self, who: int, at: int) -> None:
        mine, other = self.of(who)
        for token in other.tokens:
            mine.call("DELETE", f"{TOKENS}/{token}", 404)
        for token in list(mine.tokens)[at : at + 1]:
            mine.call("DELETE", f"{TOKENS}/{token}", 200)

    @rule(who=who)
    def read_tokens(self, who: int) -> None:
        mine, other = self.of(who)
        # With the one that the calls are made with.
        found = {row["token_id"]: row["label"] for row in mine.rows(TOKENS)}
        assert {one: label for one, label in found.items() if label != "tests"} == mine.tokens
        for token in other.tokens:
            mine.call("GET", f"{TOKENS}/{token}", 404)
        actors = {row["subject"] for row in mine.rows(f"{API}/audit-log")}
        assert not actors & {*other.tokens, *other.creators}

    def teardown(self) -> None:
        """At the end each tenant has what it made, no more and no less."""
        for number in (0, 1):
            self.read_creators(number)
            self.read_samples(number)
            self.read_customers(number)
            self.read_segments(number)
            self.read_settings(number)
            self.read_tokens(number)
            self.read_promo_codes(number, "ada")
            self.read_runs(number)


@pytest.fixture(params=[False, True], ids=["policies", "queries alone"])
def world(request: pytest.FixtureRequest, cluster: Cluster, built_template: str) -> Iterator[World]:
    """As the service is deployed, and with policies that let every row through."""
    with ExitStack() as stack:
        database = stack.enter_context(cluster.database(built_template))
        if request.param:
            with connect(database.database_url) as superuser:
                open_policies(superuser)
        unlimited = replace(database, rate_limit_per_minute=0, log_level="WARNING")
        yield World(unlimited, stack.enter_context(running_app(unlimited)))


def test_neither_of_two_tenants_sees_the_other(world: World) -> None:
    machine = type("TwoTenantsHere", (TwoTenants,), {"world": world})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=max(1, STEPS // STEPS_OF_A_STORY),
            stateful_step_count=STEPS_OF_A_STORY,
            deadline=None,
            phases=(Phase.explicit, Phase.generate, Phase.shrink),
            suppress_health_check=list(HealthCheck),
        ),
    )
    assert world.steps >= STEPS * 0.8
