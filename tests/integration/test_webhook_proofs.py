"""What a webhook proves: its signature covers the body, not the topic, the shop and the time.

In these tests a sender who has seen one signed body of a store chooses the headers.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
import stamina

from sandbox import Fault, Sandbox
from sandbox.shopify import Store
from sandbox.shopify.store import RecordFaults
from sandbox.shopify.tokens import CLIENT_ID
from service.core.config import Settings
from service.core.db import Connection, Pool, tenant_transaction
from service.doctor.webhooks import check_webhooks
from service.privacy.confirmation import HeldError, confirm_customer, confirm_shop
from service.shopify.connection import connect_shopify
from service.shopify.sync import sync_shopify
from service.worker.tasks import Worker
from tests.command import quintile, quintile_process
from tests.conftest import MakeTenant, NullProgress
from tests.hooks import CLIENT_SECRET, events, post_webhook, served
from tests.shops import loaded_rows, small_shop
from tests.web import client_of, running_app

VICTIM = "victim.myshopify.com"


@pytest.fixture
def store() -> Store:
    return Store(small_shop())


@pytest.fixture
def victims_store() -> Store:
    """A second store, whose orders and customers have the numbers of the first's."""
    return Store(replace(small_shop(), domain=VICTIM, token="shpat_victim_0123456789"))


@pytest.fixture
def shop(store: Store, victims_store: Store) -> Iterator[Sandbox]:
    with Sandbox([store, victims_store], []) as sandbox:
        yield sandbox


@pytest.fixture
def here(shopify_settings: Settings) -> Settings:
    return replace(shopify_settings, shopify_client_secret=CLIENT_SECRET)


@pytest.fixture
def url(here: Settings) -> Iterator[str]:
    with served(here) as url:
        yield url


@pytest.fixture
def victim(here: Settings, pool: Pool, make_tenant: MakeTenant, victims_store: Store) -> UUID:
    """Another tenant of the same app, with its store's data."""
    tenant_id = make_tenant("victim", VICTIM)
    connect_shopify(here, pool, tenant_id, VICTIM, victims_store.data.token)
    sync_shopify(here, pool, tenant_id, NullProgress())
    return tenant_id


def process(settings: Settings, pool: Pool, tenant_id: UUID) -> None:
    """Process a tenant's webhooks as the worker does."""
    worker = Worker(settings, pool)
    with stamina.set_testing(True, attempts=1):
        worker.webhooks(str(tenant_id))
        for event in events(pool, tenant_id):
            if event["state"] == "queued" and event["kind"].endswith(("redact", "request")):
                worker.privacy(str(tenant_id), event["webhook_id"])


def process_until_settled(settings: Settings, pool: Pool, tenant_id: UUID) -> dict[str, Any]:
    """Process the tenant's only webhook, whose pauses are over at once; as it is stored then."""
    for _ in range(10):
        with tenant_transaction(pool, tenant_id) as conn:
            conn.execute("update app.webhook_events set due_at = now()")
        process(settings, pool, tenant_id)
    (event,) = events(pool, tenant_id)
    return event


def connection(pool: Pool, tenant_id: UUID) -> dict[str, Any]:
    with tenant_transaction(pool, tenant_id) as conn:
        row = conn.execute("select * from app.connections where provider = 'shopify'").fetchone()
    assert row is not None
    return row


# -- the body of another shop, topic or time ----------------------------------------------------


@pytest.mark.parametrize(
    "topic",
    [
        "orders/delete",
        "customers/delete",
        "customers/merge",
        "customers/redact",
        "shop/redact",
        "app/uninstalled",
        "segments/delete",
        "refunds/create",
        "customer.left_segment",
    ],
)
def test_a_captured_body_changes_nothing_of_another_shop(
    here: Settings, url: str, pool: Pool, victim: UUID, victims_store: Store, topic: str
) -> None:
    """The body of an order, as every store of the app sends it."""
    number = victims_store.data.orders[0].number
    body = {"id": number, "updated_at": "2026-07-01T10:00:00Z"}
    before = loaded_rows(pool, victim)
    assert post_webhook(url, VICTIM, topic, json.dumps(body).encode()).status_code == 200
    process_until_settled(here, pool, victim)
    assert loaded_rows(pool, victim) == before
    assert connection(pool, victim)["state"] == "active"


def test_an_erasure_whose_body_names_no_shop_is_held(
    here: Settings, url: str, pool: Pool, victim: UUID, victims_store: Store
) -> None:
    """Even if the store has erased the customer."""
    number = victims_store.data.customers[0].number
    victims_store.redact_customer(number)
    body = {"customer": {"id": number}, "orders_to_redact": []}
    post_webhook(url, VICTIM, "customers/redact", json.dumps(body).encode(), webhook_id="w")
    event = process_until_settled(here, pool, victim)
    assert event["state"] == "held"
    assert "does not name its shop" in event["reason"]


def test_an_erasure_of_a_shop_that_is_not_named_is_held(
    here: Settings, pool: Pool, victim: UUID, victims_store: Store
) -> None:
    """Such as one that a former release has stored, even if the store has removed the app."""
    victims_store.uninstall()
    with stamina.set_testing(True, attempts=1), pytest.raises(HeldError, match="does not name"):
        confirm_shop(here, pool, victim, is_shop_named=False, attempts=9)


@pytest.mark.parametrize(
    ("topic", "body"),
    [
        ("app/uninstalled", {"id": 1, "customer": {"id": 1}, "orders_to_redact": []}),
        ("shop/redact", {"id": 1, "updated_at": "2026-07-01T10:00:00Z"}),
        (
            "shop/redact",
            {"shop_id": 1, "shop_domain": VICTIM, "customer": {"id": 1}, "orders_to_redact": []},
        ),
        ("customers/redact", {"shop_id": 1, "shop_domain": VICTIM, "customer": {"id": 1}}),
    ],
)
def test_a_body_of_another_topic_is_no_removal_and_no_erasure(
    here: Settings,
    url: str,
    pool: Pool,
    victim: UUID,
    victims_store: Store,
    topic: str,
    body: dict[str, Any],
) -> None:
    """Even while the store refuses the token."""
    victims_store.is_installed = False
    post_webhook(url, VICTIM, topic, json.dumps(body).encode())
    event = process_until_settled(here, pool, victim)
    assert (event["state"], event["kind"]) == ("set_aside", None)
    assert connection(pool, victim)["state"] == "active"


@pytest.mark.parametrize(
    "ago",
    [timedelta(hours=25), timedelta(minutes=-10), timedelta(days=-27_000), None],
    ids=["stale", "future", "far future", "none"],
)
def test_a_webhook_of_another_time_is_refused(
    url: str, pool: Pool, tenant: UUID, store: Store, ago: timedelta | None
) -> None:
    at = "" if ago is None else (datetime.now(UTC) - ago).isoformat()
    answer = post_webhook(
        url, store.data.domain, "orders/updated", {"id": 1}, headers={"X-Shopify-Triggered-At": at}
    )
    assert (answer.status_code, answer.json()["type"]) == (401, "/problems/not-signed")
    assert "time" in answer.json()["detail"]
    assert events(pool, tenant) == []


def test_a_webhook_that_shopify_repeats_for_hours_is_accepted(
    url: str, pool: Pool, tenant: UUID, store: Store
) -> None:
    at = datetime.now(UTC) - timedelta(hours=5)
    post_webhook(url, store.data.domain, "orders/updated", {"id": 1}, triggered_at=at)
    assert len(events(pool, tenant)) == 1


# -- replays ------------------------------------------------------------------------------------


def test_the_same_body_under_a_new_id_is_a_replay(
    here: Settings, url: str, pool: Pool, tenant: UUID, store: Store, shop: Sandbox
) -> None:
    body = {"id": store.data.orders[0].number, "updated_at": "2026-07-01T10:00:00Z"}
    for topic in ("orders/updated", "orders/updated", "orders/cancelled"):
        assert post_webhook(url, store.data.domain, topic, body).status_code == 200
    assert len(events(pool, tenant)) == 1
    process(here, pool, tenant)
    shop.clear_requests()
    # Also once it is processed; a body that differs is another webhook.
    post_webhook(url, store.data.domain, "orders/updated", body)
    process(here, pool, tenant)
    assert shop.shopify_requests() == []
    post_webhook(url, store.data.domain, "orders/updated", {**body, "updated_at": "2026-07-02"})
    assert len(events(pool, tenant)) == 2


def test_what_may_be_true_again_is_not_taken_for_a_replay(
    here: Settings, url: str, pool: Pool, tenant: UUID, store: Store
) -> None:
    """A customer joins a segment again; an order changes again in the second of its last change."""
    join = {"customer_id": store.data.customers[0].number, "segment_id": 1}
    change = {"id": store.data.orders[0].number, "updated_at": datetime.now(UTC).isoformat()}
    for _ in range(2):
        post_webhook(url, store.data.domain, "customer.joined_segment", join)
        post_webhook(url, store.data.domain, "orders/updated", change)
        process(here, pool, tenant)
        with tenant_transaction(pool, tenant) as conn:
            conn.execute(
                "update app.webhook_events set state = 'done', finished_at = now(),"
                " subject = null, notice = null"
            )
    assert len(events(pool, tenant)) == 4


def test_leaving_a_segment_is_not_taken_for_the_joining_that_waits(
    url: str, pool: Pool, tenant: UUID, store: Store
) -> None:
    """The bodies are the same, and the store may have been read for the first already."""
    body = {"customer_id": store.data.customers[0].number, "segment_id": 1}
    for topic in ("customer.joined_segment", "customer.left_segment"):
        post_webhook(url, store.data.domain, topic, body)
    assert len(events(pool, tenant)) == 2


# -- secrets of apps ----------------------------------------------------------------------------


def test_a_secret_signs_for_the_stores_of_its_app_only(
    here: Settings, pool: Pool, tenant: UUID, victim: UUID, store: Store
) -> None:
    secrets = f"of-the-shared-app, {VICTIM}=of-the-victims-app, {VICTIM}=its-former-one"
    with served(replace(here, shopify_client_secret=secrets)) as url:
        answers = {
            (shop, secret): post_webhook(
                url, shop, "orders/updated", {"id": 1}, secret=secret
            ).status_code
            for shop in (store.data.domain, VICTIM)
            for secret in ("of-the-shared-app", "of-the-victims-app", "its-former-one", VICTIM)
        }
    assert [key for key, status in answers.items() if status == 200] == [
        (store.data.domain, "of-the-shared-app"),
        (VICTIM, "of-the-victims-app"),
        (VICTIM, "its-former-one"),
    ]
    with served(replace(here, shopify_client_secret=f"{VICTIM}=of-the-victims-app")) as url:
        answer = post_webhook(url, store.data.domain, "orders/updated", {"id": 1}, secret="")
    assert answer.status_code == 401
    assert (len(events(pool, tenant)), len(events(pool, victim))) == (1, 2)


def test_the_doctor_says_which_stores_have_no_secret(
    here: Settings, tenant: UUID, victim: UUID, owner: Connection
) -> None:
    public = replace(here, public_url="https://quintile.example.com")
    for secrets, expected in (
        (f"{VICTIM}=of-the-victims-app", "is not set for kessel"),
        ("one,another", "two client secrets"),
    ):
        settings = replace(public, shopify_client_secret=secrets)
        found = [f.message for f in check_webhooks(settings, owner, fix=False)]
        assert any(expected in message for message in found), found


# -- deletions ----------------------------------------------------------------------------------


def test_a_deletion_that_the_store_does_not_show_is_not_done(
    here: Settings, url: str, pool: Pool, tenant: UUID, store: Store
) -> None:
    sync_shopify(here, pool, tenant, NullProgress())
    before = loaded_rows(pool, tenant)
    post_webhook(url, store.data.domain, "orders/delete", {"id": store.data.orders[0].number})
    event = process_until_settled(here, pool, tenant)
    assert (event["state"], event["reason"]) == ("done", "The store still has it.")
    assert loaded_rows(pool, tenant) == before


def test_the_body_of_a_change_deletes_nothing(
    here: Settings, url: str, pool: Pool, tenant: UUID, store: Store
) -> None:
    """Not even an order that the token may no longer read."""
    sync_shopify(here, pool, tenant, NullProgress())
    number = store.data.orders[0].number
    store.delete_order(number)
    before = loaded_rows(pool, tenant)
    body = {"id": number, "updated_at": "2026-07-01T10:00:00Z"}
    post_webhook(url, store.data.domain, "orders/delete", body)
    event = process_until_settled(here, pool, tenant)
    assert (event["state"], event["kind"]) == ("set_aside", None)
    assert loaded_rows(pool, tenant) == before


# -- removal of the app -------------------------------------------------------------------------


def uninstalled(url: str, store: Store) -> None:
    payload = {"id": store.data.number, "myshopify_domain": store.data.domain}
    assert post_webhook(url, store.data.domain, "app/uninstalled", payload).status_code == 200


def test_the_app_is_removed_only_if_the_store_refuses_its_token(
    here: Settings, url: str, pool: Pool, tenant: UUID, store: Store
) -> None:
    """A body of an earlier removal proves nothing about today."""
    uninstalled(url, store)
    event = process_until_settled(here, pool, tenant)
    assert (event["state"], event["finished_at"] is None) == ("done", False)
    assert "still has the app" in event["reason"]
    assert connection(pool, tenant)["state"] == "active"


def test_a_passing_refusal_removes_nothing(
    here: Settings, url: str, pool: Pool, tenant: UUID, store: Store
) -> None:
    store.is_installed = False
    uninstalled(url, store)
    process(here, pool, tenant)
    (event,) = events(pool, tenant)
    assert (event["state"], event["attempts"]) == ("queued", 1)
    store.is_installed = True
    assert process_until_settled(here, pool, tenant)["state"] == "done"
    assert connection(pool, tenant)["sealed_secret"] is not None


def test_a_removal_is_held_while_the_store_refuses_to_renew_the_token(
    here: Settings, url: str, pool: Pool, tenant: UUID, store: Store, shop: Sandbox
) -> None:
    """A refresh token that was spent before is refused, too, while the app is still there."""
    app = replace(here, shopify_client_id=CLIENT_ID)
    pair = shop.tokens.issue(store.data.domain)
    connect_shopify(app, pool, tenant, store.data.domain, json.dumps(pair))
    shop.tokens.is_forgiving = False
    shop.tokens.exchange(
        {
            "grant_type": "refresh_token",
            "client_id": CLIENT_ID,
            "client_secret": shop.tokens.client_secret,
            "refresh_token": pair["refresh_token"],
        }
    )
    uninstalled(url, store)
    assert process_until_settled(app, pool, tenant)["state"] == "held"
    assert connection(pool, tenant)["sealed_secret"] is not None


@pytest.mark.parametrize("is_expired", [True, False])
def test_the_removal_of_an_app_whose_tokens_expire_is_done_when_the_store_confirms_it(
    here: Settings, pool: Pool, make_tenant: MakeTenant, store: Store, is_expired: bool
) -> None:
    tenant = make_tenant("kessel", store.data.domain)
    with Sandbox([store], []) as alone:
        app = replace(here, shopify_url=alone.shopify_url, shopify_client_id=CLIENT_ID)
        # What signs its webhooks is what its tokens are asked for with.
        app = replace(app, shopify_client_secret=alone.tokens.client_secret)
        with served(app) as url:
            pair = alone.tokens.issue(store.data.domain)
            connect_shopify(app, pool, tenant, store.data.domain, json.dumps(pair))
            payload = {"id": store.data.number, "myshopify_domain": store.data.domain}
            secret = alone.tokens.client_secret
            store.is_installed = False
            if is_expired:
                alone.tokens.expire_access_tokens()
                with tenant_transaction(pool, tenant) as conn:
                    conn.execute("update app.connections set access_expires_at = now()")
            post_webhook(url, store.data.domain, "app/uninstalled", payload, secret=secret)
            # A refusal may pass, also one that says why.
            process(app, pool, tenant)
            assert connection(pool, tenant)["state"] == "refused"
            event = process_until_settled(app, pool, tenant)
    assert (event["state"], event["reason"]) == ("done", None)
    assert connection(pool, tenant)["state"] == "disconnected"
    assert connection(pool, tenant)["sealed_secret"] is None


@pytest.mark.parametrize("is_installed", [False, True])
def test_the_erasure_of_a_shop_whose_tokens_expire_needs_no_person_if_the_app_is_not_installed(
    here: Settings,
    pool: Pool,
    make_tenant: MakeTenant,
    store: Store,
    owner: Connection,
    is_installed: bool,
) -> None:
    """The webhook about the removal was lost. A token that is only not renewed proves nothing."""
    tenant = make_tenant("kessel", store.data.domain)
    with Sandbox([store], []) as alone:
        app = replace(here, shopify_url=alone.shopify_url, shopify_client_id=CLIENT_ID)
        app = replace(app, shopify_client_secret=alone.tokens.client_secret)
        with served(app) as url:
            pair = alone.tokens.issue(store.data.domain)
            connect_shopify(app, pool, tenant, store.data.domain, json.dumps(pair))
            if is_installed:
                alone.tokens.is_forgiving = False
                alone.tokens.exchange(
                    {
                        "grant_type": "refresh_token",
                        "client_id": CLIENT_ID,
                        "client_secret": alone.tokens.client_secret,
                        "refresh_token": pair["refresh_token"],
                    }
                )
            store.is_installed = is_installed
            alone.tokens.expire_access_tokens()
            owner.execute(
                "update app.connections set access_expires_at = now(),"
                " connected_at = connected_at - interval '3 days'"
            )
            payload = {"shop_id": store.data.number, "shop_domain": store.data.domain}
            secret = alone.tokens.client_secret
            post_webhook(url, store.data.domain, "shop/redact", payload, secret=secret)
            for _ in range(4):
                process(app, pool, tenant)
            (event,) = events(pool, tenant)
            assert event["state"] == "queued"
            assert ("less than a day ago" in event["reason"]) is not is_installed
            owner.execute(
                "update app.connections set uninstalled_at = uninstalled_at - interval '2 days'"
            )
            process(app, pool, tenant)
    tenants = owner.execute("select name from app.tenants where name = 'kessel'").fetchall()
    assert bool(tenants) is is_installed


def test_a_removal_is_held_while_the_store_cannot_be_asked(
    here: Settings,
    url: str,
    pool: Pool,
    tenant: UUID,
    store: Store,
    shop: Sandbox,
    owner: Connection,
) -> None:
    uninstalled(url, store)
    shop.fail_shopify(Fault(status=503, count=100))
    event = process_until_settled(here, pool, tenant)
    assert event["state"] == "held"
    (finding,) = [f for f in check_webhooks(here, owner, fix=False) if "held" in f.message]
    assert (finding.level, "app/uninstalled" in finding.message) == ("error", True)
    # Nothing but a person's word ends it, not even a retry of all that is quarantined.
    quintile(here, "webhooks", "retry", "--tenant", "kessel")
    listed = quintile(here, "webhooks", "list", "--tenant", "kessel").stdout
    assert json.loads(listed)["state"] == "held"
    webhook_id = event["webhook_id"]
    refused = quintile(
        here, "webhooks", "confirm", "--tenant", "kessel", "--id", "another", expect=1
    )
    assert "no held webhook" in refused.stderr
    quintile(here, "webhooks", "confirm", "--tenant", "kessel", "--id", webhook_id)
    process(here, pool, tenant)
    assert connection(pool, tenant)["state"] == "disconnected"
    (event,) = events(pool, tenant)
    assert (event["state"], event["confirmed_by"]) == ("done", "person")


# -- erasure of a customer ----------------------------------------------------------------------


def redact(url: str, store: Store, number: int) -> None:
    payload = {"customer": {"id": number}, "orders_to_redact": []}
    post_webhook(url, store.data.domain, "customers/redact", payload, webhook_id="w")


@pytest.mark.parametrize("is_connected", [True, False])
def test_a_customer_whom_the_store_has_not_erased_waits_for_a_person(
    here: Settings, url: str, pool: Pool, tenant: UUID, store: Store, is_connected: bool
) -> None:
    sync_shopify(here, pool, tenant, NullProgress())
    before = loaded_rows(pool, tenant)
    number = next(c.number for c in store.data.customers if c.email)
    if not is_connected:
        quintile(here, "tenants", "disconnect-shopify", "kessel")
    redact(url, store, number)
    event = process_until_settled(here, pool, tenant)
    assert event["state"] == "held"
    assert ("has not erased" if is_connected else "cannot be asked") in event["reason"]
    assert loaded_rows(pool, tenant) == before

    with running_app(here) as app:
        client = client_of(app, here, tenant)
        (listed,) = client.get("/api/admin/webhooks").get_json()["data"]
        assert (listed["state"], listed["webhook_id"]) == ("held", "w")
        if is_connected:
            answer = client.post("/api/admin/webhooks/w/confirm")
            assert (answer.status_code, answer.get_json()["state"]) == (202, "queued")
        else:
            answer = client.post("/api/admin/webhooks/w/reject")
            assert (answer.status_code, answer.get_json()["state"]) == (200, "done")
        assert client.post("/api/admin/webhooks/w/confirm").status_code == 404
        assert client.post("/api/admin/webhooks/w/reject").status_code == 404
    (event,) = events(pool, tenant)
    assert (event["subject"] is None) is not is_connected


def test_a_store_confirms_an_erasure_by_having_no_personal_data(
    here: Settings, pool: Pool, tenant: UUID, store: Store
) -> None:
    erased, deleted = (customer.number for customer in store.data.customers[:2])
    store.redact_customer(erased)
    store.delete_customer(deleted)
    for number in (erased, deleted):
        confirm_customer(here, pool, tenant, str(number), is_shop_named=True)
    with pytest.raises(HeldError):
        confirm_customer(here, pool, tenant, str(erased), is_shop_named=False)
    # What the app may not read could still be there.
    store.record_faults = RecordFaults(withheld=frozenset({"defaultEmailAddress"}))
    with pytest.raises(HeldError):
        confirm_customer(here, pool, tenant, str(erased), is_shop_named=True)


def test_a_store_says_by_itself_that_it_has_erased_a_customer(
    here: Settings, pool: Pool, tenant: UUID, store: Store, owner: Connection
) -> None:
    """With the scope for it; a token that has lost it is not refused for that."""
    empty, erased = store.data.customers[:2]
    store.update_customer(empty.number, first_name="", last_name="", email=None)
    store.redact_customer(erased.number)
    owner.execute("update app.connections set scopes = scopes || '{read_customer_merge}'")
    confirm_customer(here, pool, tenant, str(empty.number), is_shop_named=True)
    store.scopes = store.scopes | {"read_customer_merge"}
    store.record_faults = RecordFaults(withheld=frozenset({"defaultEmailAddress"}))
    confirm_customer(here, pool, tenant, str(erased.number), is_shop_named=True)
    with pytest.raises(HeldError, match="has not erased"):
        confirm_customer(here, pool, tenant, str(empty.number), is_shop_named=True)
    assert connection(pool, tenant)["state"] == "active"


def test_an_erasure_waits_while_the_store_refuses_the_token(
    here: Settings, url: str, pool: Pool, tenant: UUID, store: Store
) -> None:
    number = store.data.customers[0].number
    store.redact_customer(number)
    store.is_installed = False
    redact(url, store, number)
    process(here, pool, tenant)
    (event,) = events(pool, tenant)
    assert (event["state"], event["attempts"]) == ("queued", 1)
    store.is_installed = True
    assert process_until_settled(here, pool, tenant)["state"] == "done"


def test_a_held_webhook_is_rejected_by_command(
    here: Settings, url: str, pool: Pool, tenant: UUID, store: Store
) -> None:
    redact(url, store, store.data.customers[0].number)
    assert process_until_settled(here, pool, tenant)["state"] == "held"
    quintile_process(here, "webhooks", "reject", "--tenant", "kessel", "--id", "w")
    (event,) = events(pool, tenant)
    assert (event["state"], event["reason"]) == ("done", "A person rejected it.")
    assert event["subject"] is event["notice"] is None


def test_a_request_that_comes_again_is_asked_about_again(
    here: Settings, url: str, pool: Pool, tenant: UUID, store: Store
) -> None:
    """The store had not erased the customer when it came first."""
    number = store.data.customers[0].number
    payload = {"customer": {"id": number}}
    post_webhook(url, store.data.domain, "customers/redact", payload)
    assert process_until_settled(here, pool, tenant)["state"] == "held"
    post_webhook(url, store.data.domain, "customers/redact", payload)
    assert process_until_settled(here, pool, tenant)["state"] == "held"
    store.redact_customer(number)
    post_webhook(url, store.data.domain, "customers/redact", payload)
    event = process_until_settled(here, pool, tenant)
    assert (event["state"], event["confirmed_by"]) == ("done", "store")
