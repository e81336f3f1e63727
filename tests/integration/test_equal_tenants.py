"""Tenants with equal ids, addresses and tags stay apart, whatever one of them does.

Routes, tasks and tables come from the URL map, the queue and the catalog, so that a new one takes
part. The service runs as it is deployed, and once more with policies that let every row through,
so that its queries have to name the tenant themselves.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any
from uuid import UUID

import pytest
from apiflask import APIFlask
from flask.testing import FlaskClient
from pytest_httpserver import HTTPServer

from sandbox import Sandbox, start_sandbox
from service.api.access import PUBLIC_ENDPOINTS
from service.builds.run import build
from service.core.config import Settings
from service.core.db import Connection, Pool, connect, tenant_transaction
from service.destinations.sync_runs import request_sync
from service.notifications.jobs import defer_collection
from service.privacy.requests import add_request
from service.queue.defer import QUEUE, defer, defer_notices, defer_privacy
from service.queue.enqueue import HOUSEKEEP_TASK, PROBE_TASK, TASKS, enqueue
from service.worker.run_once import run_once
from tests.clones import clone_tenant, digests, open_policies
from tests.conftest import ANCHOR, AS_OF, sandbox_settings
from tests.web import client_of, openapi_of

# Of each parameter of a path: a value of the tenant.
VALUES = {
    "code": "select code from app.promo_codes where tenant_id = %(tenant)s",
    "config_id": "select config_id from app.klaviyo_sync_configs where tenant_id = %(tenant)s"
    " and list_id = 'KK0004'",
    "creator_id": "select creator_id from app.creators where tenant_id = %(tenant)s"
    " order by created_at",
    "customer_id": "select customer_id from marts.sample_orders where tenant_id = %(tenant)s"
    " and customer_id is not null order by 1",
    "delivery_id": "select delivery_id from app.webhook_deliveries where tenant_id = %(tenant)s",
    "endpoint_id": "select endpoint_id from app.webhook_endpoints where tenant_id = %(tenant)s",
    "export_id": "select export_id from app.privacy_exports where tenant_id = %(tenant)s",
    "list_id": "select list_id from app.klaviyo_sync_configs where tenant_id = %(tenant)s"
    " and direction = 'pull'",
    "name": "select 'build' from app.tenants where tenant_id = %(tenant)s",
    "order_id": "select order_id from marts.sample_orders where tenant_id = %(tenant)s order by 1",
    "run_id": "select run_id from app.klaviyo_sync_runs where tenant_id = %(tenant)s order by 1",
    "segment_id": "select 'shopify:' || segment_id from shopify.cached_segments"
    " where tenant_id = %(tenant)s order by 1",
    "session_id": "select session_id from app.sessions where tenant_id = %(tenant)s",
    "token_id": "select token_id from app.api_tokens where tenant_id = %(tenant)s"
    " order by created_at desc",
    "change_id": "select change_id from app.samples_config_changes where tenant_id = %(tenant)s",
    "removed_email": "select email from app.klaviyo_ledger where tenant_id = %(tenant)s"
    " and state = 'removed' order by 1",
    # Those to retry, confirm and reject.
    "webhook_id": "select webhook_id from app.webhook_events where tenant_id = %(tenant)s"
    " and state = 'set_aside'",
    "order_id/decision": "select order_id from app.sample_decisions where tenant_id = %(tenant)s"
    " union all select order_id from marts.sample_near_misses where tenant_id = %(tenant)s",
    "webhook_id/confirm": "select 'held 1' from app.tenants where tenant_id = %(tenant)s",
    "webhook_id/reject": "select 'held 2' from app.tenants where tenant_id = %(tenant)s",
}
# Parameters of lists that read in another way.
QUERIES = {
    "/api/admin/customers": ("?q=a", "?sort=-spend"),
    "/api/admin/segments": ("?q=a", "?source=shopify", "?sort=-customers"),
    "/api/admin/samples": ("?q=a", "?type=ugc&status=pending"),
    "/api/admin/creators": ("?q=a",),
    "/api/admin/promo-codes": ("?q=s",),
    "/api/admin/segments/targets": ("?q=a",),
    "/api/admin/segments/<segment_id>/customers": ("?q=a", "?sort=-spend"),
    "/api/admin/segments/<segment_id>/overlap": ("?with=rfm:champions",),
    "/api/admin/segments/rfm/customers": ("?segment=champions",),
    "/api/admin/promo-codes/<code>/check": ("?customer=1",),
    "/api/admin/promo-codes/<code>/targets/changes": ("?customer=a@example.com",),
}


@pytest.fixture
def own_sandbox() -> Iterator[Sandbox]:
    with start_sandbox(seed=1, anchor=ANCHOR) as sandbox:
        yield sandbox


@pytest.fixture
def settings(built_demo: Settings, own_sandbox: Sandbox) -> Settings:
    return replace(
        sandbox_settings(built_demo, own_sandbox),
        notify_private_addresses=1,
        rate_limit_per_minute=0,
    )


@pytest.fixture
def superuser(settings: Settings) -> Iterator[Connection]:
    with connect(settings.database_url) as conn:
        yield conn


@pytest.fixture
def tenant(superuser: Connection) -> UUID:
    """The smaller of the two demo stores."""
    row = superuser.execute(
        "select tenant_id from shopify.orders group by 1 order by count(*) limit 1"
    ).fetchone()
    assert row is not None
    return row["tenant_id"]


@pytest.fixture
def receiver() -> Iterator[HTTPServer]:
    with HTTPServer(host="127.0.0.1", port=0, threaded=True) as server:
        server.expect_request("/").respond_with_data("")
        yield server


class Caller:
    """Calls routes as a tenant, with the tenant's own ids in their paths."""

    def __init__(
        self, app: APIFlask, client: FlaskClient, superuser: Connection, tenant: UUID, receiver: str
    ) -> None:
        self.app = app
        self.receiver = receiver
        self.round = 1
        self.client = client
        self.superuser = superuser
        self.tenant = tenant
        self.document = openapi_of(app)

    def value(self, name: str, skipped: int = 0) -> str | None:
        """A value of the tenant for a parameter of a path, if it has one."""
        rows = self.superuser.execute(VALUES[name], {"tenant": self.tenant}).fetchall()
        return str(next(iter(rows[skipped].values()))) if len(rows) > skipped else None

    def path(self, rule: str) -> str:
        """The path of a rule."""

        def value(found: re.Match[str]) -> str:
            special = found[1] + rule[found.end() :]
            return self.value(special if special in VALUES else found[1]) or "none"

        return re.sub(r"<(?:\w+:)?(\w+)>", value, rule)

    def routes(self, *methods: str) -> Iterator[tuple[str, str, str]]:
        """Endpoint, method and rule of each route that belongs to a tenant."""
        # The longest paths first, so that a part is deleted before its whole.
        rules = sorted(self.app.url_map.iter_rules(), key=lambda rule: (-len(rule.rule), rule.rule))
        for rule in rules:
            if rule.endpoint not in PUBLIC_ENDPOINTS:
                for method in sorted((rule.methods or set()) & set(methods)):
                    yield rule.endpoint, method, rule.rule

    def body(self, endpoint: str, method: str, rule: str) -> Any:
        """What to send: the example of the OpenAPI document, with values of this tenant."""
        path = re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule)
        operation = self.document["paths"].get(path, {}).get(method.lower(), {})
        content = operation.get("requestBody", {}).get("content", {})
        example = content.get("application/json", {}).get("example")
        return BODIES[endpoint](self, example) if endpoint in BODIES else example

    def setting(self, part: str, name: str, page: str = "settings") -> Any:
        """One of the tenant's settings."""
        return self.client.get(f"/api/admin/{part}/{page}").get_json()[name]

    def change(self, *methods: str) -> dict[str, str]:
        """Call every route with one of these methods; what each refusal says, by endpoint."""
        refusals = {}
        for endpoint, method, rule in self.routes(*methods):
            if not rule.startswith("/api/"):
                continue
            body = self.body(endpoint, method, rule)
            answer = self.client.open(self.path(rule), method=method, json=body)
            if answer.status_code >= HTTPStatus.MULTIPLE_CHOICES:
                refusals[endpoint] = answer.text
        return refusals

    def read(self) -> dict[str, tuple[int, str]]:
        """Status and text of every page, list and record of the tenant."""
        found = {}
        for _, _, rule in self.routes("GET"):
            url = self.path(rule)
            for query in ("", *QUERIES.get(rule, ())):
                answer = self.client.get(url + query)
                found[url + query] = (answer.status_code, answer.text)
        return found

    def prepare(self) -> None:
        """Give the tenant rows that its routes and tasks do not make in one go."""
        for body in (
            {"list_id": "KK0003", "direction": "pull"},
            {"list_id": "KK0004", "segment_key": "rfm:champions", "direction": "push"},
        ):
            answer = self.client.post("/api/admin/integrations/klaviyo/config", json=body)
            assert answer.status_code == 201, answer.text
        for name in ("bea", "cleo", "dora"):
            self.client.post("/api/admin/creators", json={"handle": name})
        self.client.post(
            "/api/admin/webhooks/endpoints",
            json={"url": self.receiver, "topics": ["build.completed", "sample.found"]},
        )
        self.client.post(self.path("/api/admin/webhooks/endpoints/<endpoint_id>/test"))
        self.superuser.execute(
            "insert into app.webhook_events"
            " (tenant_id, webhook_id, topic, kind, subject, notice, state, triggered_at,"
            " finished_at)"
            " select %s, name, 'orders/updated', 'order', '1', '{}', 'set_aside', now(), now()"
            " from unnest(array['w1', 'w2']) as name",
            [self.tenant],
        )

    def prepare_more(self) -> None:
        """Add what is there after jobs have run: a removed address, an export and a session."""
        self.superuser.execute(
            "insert into app.klaviyo_ledger (tenant_id, config_id, email, customer_id, state)"
            " values (%s, %s, 'gone@example.com', '1', 'removed')",
            [self.tenant, self.value("config_id")],
        )
        self.superuser.execute(
            "insert into app.webhook_events"
            " (tenant_id, webhook_id, topic, kind, subject, notice, state, triggered_at)"
            " select %s, name, 'orders/updated', 'order', '1', '{}', 'held', now()"
            " from unnest(array['held 1', 'held 2']) as name",
            [self.tenant],
        )
        link = self.client.post("/api/admin/sign-in-links", json={"person": "Ada"}).get_json()
        answer = self.app.test_client().post(
            "/admin/sign-in/code",
            json={"code": link["link"].partition("#code=")[2]},
            headers={"X-Quintile-Request": "1"},
        )
        assert answer.status_code == 200, answer.text


# What the example of a body is replaced by, where it does not fit the store.
BODIES: dict[str, Callable[[Caller, Any], Any]] = {
    "creators.add_creator": lambda caller, body: {**body, "handle": f"ada{caller.round}"},
    "creators.change_creator": lambda *_: {"notes": "Likes the serum."},
    "creators.merge_creators": lambda caller, _: {
        "creator_id": caller.value("creator_id", skipped=1)
    },
    "integrations.connect_shopify_store": lambda *_: {
        "shop": "kessel-und-korn.myshopify.com",
        "access_token": "shpat_sandbox_kessel",
    },
    "integrations_klaviyo.connect_klaviyo_account": lambda *_: {"api_key": "pk_sandbox_kessel"},
    "klaviyo.add_klaviyo_config": lambda caller, _: {
        "list_id": f"KK000{caller.round}",
        "segment_key": "rfm:loyal",
    },
    "klaviyo.sync_klaviyo_lists": lambda caller, _: {"config_ids": [caller.value("config_id")]},
    "klaviyo_records.undo_klaviyo_removal": lambda caller, _: {
        "email": caller.value("removed_email")
    },
    "promo_codes.create_promo_code": lambda caller, body: {**body, "code": f"SUMMER{caller.round}"},
    "promo_codes.change_promo_code": lambda *_: {"title": "Summer"},
    "rfm_settings.change_rfm_settings": lambda *_: {"window_days": 200},
    "samples.choose_creator": lambda caller, _: {"creator_id": caller.value("creator_id")},
    "samples_settings.change_samples_settings": lambda caller, _: {
        "ugc_tags": [*caller.setting("samples", "ugc_tags"), f"gift {caller.round}"]
    },
    "samples_settings.undo_samples_change": lambda caller, _: {
        "change_id": caller.value("change_id")
    },
    "segment_rules.replace_segment_rule": lambda caller, _: {
        name: caller.setting("segments/rfm", name, "rule") for name in ("segments", "grid")
    },
    "webhook_endpoints.add_webhook_endpoint": lambda caller, _: {
        "url": caller.receiver,
        "topics": ["build.completed", "sample.found"],
    },
    "webhook_endpoints.change_webhook_endpoint": lambda *_: {"topics": ["build.completed"]},
    "webhook_endpoints.replay_webhooks": lambda *_: {"since": datetime.now(UTC).isoformat()},
}
# Their rows name the transaction up to which a build has read.
NAMING_TRANSACTIONS = {"intermediate.int_windows_built_for_rfm", "marts.rfm_builds"}
# Routes that cannot succeed in this scenario, and why.
EXCUSED = {
    "klaviyo.confirm_klaviyo_removals": "no sync has stopped for removals",
}


@pytest.fixture
def caller(
    app: APIFlask, settings: Settings, superuser: Connection, tenant: UUID, receiver: HTTPServer
) -> Caller:
    """The tenant, with rows wherever its routes and tasks make some."""
    client = client_of(app, settings, tenant)
    caller = Caller(app, client, superuser, tenant, receiver.url_for("/"))
    caller.prepare()
    caller.change("POST", "PUT", "PATCH")
    return caller


def work(settings: Settings, pool: Pool) -> dict[str, int]:
    """Run the waiting jobs, in a thread because tests of pages leave an event loop behind."""
    with ThreadPoolExecutor(1) as executor:
        counts = executor.submit(run_once, settings, pool).result()
    assert not counts["failed"]
    return counts


def queue_every_task(pool: Pool, tenant: UUID, customer: str) -> None:
    """Queue each of the worker's tasks for the tenant."""
    with tenant_transaction(pool, tenant) as conn:
        for kind in TASKS:
            if kind == "klaviyo_plan":
                request_sync(conn, tenant, is_dry_run=True)
            else:
                enqueue(conn, tenant, kind)
        enqueue(conn, tenant, "build", "schedule")
        for kind in ("data_request", "customer_redact"):
            defer_privacy(conn, tenant, add_request(conn, tenant, kind, customer, []))
        defer_notices(conn, tenant)
        defer_collection(conn, tenant)
        for provider in ("shopify", "klaviyo"):
            defer(conn, PROBE_TASK, queue=QUEUE, tenant_id=str(tenant), provider=provider)
        defer(conn, HOUSEKEEP_TASK, queue=QUEUE, tenant_id=str(tenant))


@pytest.mark.parametrize("is_open", [False, True], ids=["policies", "queries alone"])
def test_tenants_with_equal_ids_stay_apart(
    caller: Caller, settings: Settings, pool: Pool, superuser: Connection, is_open: bool
) -> None:
    work(settings, pool)
    caller.prepare_more()
    alone, again = caller.read(), caller.read()
    others = [clone_tenant(superuser, caller.tenant, mark) for mark in (1, 2)]
    if is_open:
        open_policies(superuser)

    beside = caller.read()
    answers = {url for url in alone if alone[url] == again[url]}
    assert len(answers) > 80
    assert {url for url in answers if alone[url] != beside[url]} == set()

    before = [digests(superuser, other) for other in others]
    caller.round = 2
    refusals = caller.change("POST", "PUT", "PATCH")
    work(settings, pool)
    queue_every_task(pool, caller.tenant, caller.value("customer_id") or "")
    work(settings, pool)
    # The last: the customer is erased.
    refusals |= caller.change("DELETE")
    assert {name: text for name, text in refusals.items() if name not in EXCUSED} == {}
    assert set(EXCUSED) <= set(refusals)
    for other, rows in zip(others, before, strict=True):
        now = digests(superuser, other)
        assert {name for name in {*now, *rows} if now.get(name) != rows.get(name)} == set()


def test_models_calculate_the_same_beside_others(
    settings: Settings, superuser: Connection, tenant: UUID
) -> None:
    alone = digests(superuser, tenant)
    for mark in (1, 2):
        clone_tenant(superuser, tenant, mark)
    build(settings, as_of=AS_OF.isoformat(), full_refresh=True, quiet=True)
    beside = digests(superuser, tenant)
    built = {
        name
        for name in set(alone) - NAMING_TRANSACTIONS
        if name.startswith(("staging.", "intermediate.", "marts."))
    }
    assert len(built) > 30
    assert {name for name in built if alone[name] != beside.get(name)} == set()
