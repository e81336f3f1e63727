"""Webhooks over real HTTP: verifying, storing and processing them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, get_args
from uuid import UUID

import httpx
import pytest
import stamina

from sandbox import Fault, Sandbox
from sandbox.shopify import ALL_SCOPES, Store
from sandbox.shopify.webhooks import DeliveryFault
from service.core.config import Settings
from service.core.credentials import disconnect
from service.core.db import Pool, connect_as_owner, tenant_transaction
from service.queue.enqueue import Enqueueable, enqueue
from service.shopify.connection import connect_shopify, open_connected_shopify
from service.shopify.sync import sync_shopify
from service.webhooks.inbox import MAX_BODY_BYTES
from service.webhooks.subscriptions import find_deviations, repair, webhook_address
from service.worker.tasks import Worker, worker_app
from tests.conftest import MakeTenant, NullProgress
from tests.hooks import CLIENT_SECRET, events, post_webhook, served, work_until_settled
from tests.shops import loaded_rows, row_versions, small_shop
from tests.web import client_of, running_app

OTHER_SHOP = "other-shop.myshopify.com"


@pytest.fixture
def store() -> Store:
    return Store(small_shop(), scopes=ALL_SCOPES | {"read_customer_merge"})


@pytest.fixture
def here(shopify_settings: Settings) -> Settings:
    return replace(shopify_settings, shopify_client_secret=CLIENT_SECRET)


@pytest.fixture
def url(here: Settings) -> Iterator[str]:
    with served(here) as url:
        yield url


@pytest.fixture
def synced(here: Settings, pool: Pool, tenant: UUID) -> UUID:
    """The tenant, with its shop's data loaded."""
    sync_shopify(here, pool, tenant, NullProgress())
    return tenant


@pytest.fixture
def subscribed(here: Settings, url: str, pool: Pool, synced: UUID, store: Store) -> UUID:
    """The tenant, whose shop has a subscription for every topic."""
    public = replace(here, public_url=url)
    with open_connected_shopify(here, pool, synced) as client:
        for deviation in find_deviations(client, webhook_address(public)):
            assert repair(client, webhook_address(public), deviation) == ""
    # Let the store compute the segments before anything changes.
    store.update_customer(store.data.customers[0].number)
    store.webhooks.settle()
    return synced


Work = Callable[[], None]


@pytest.fixture
def work(here: Settings, pool: Pool, store: Store) -> Work:
    """Wait for the store's deliveries, then process the webhooks as the worker does."""
    worker = Worker(here, pool)

    def run() -> None:
        assert {status for _, status in store.webhooks.settle()} <= {200}
        with connect_as_owner(here) as owner:
            tenants = owner.execute("select tenant_id from app.tenants").fetchall()
        for row in tenants:
            worker.webhooks(str(row["tenant_id"]))

    return run


def jobs(pool: Pool, tenant_id: UUID) -> list[dict[str, Any]]:
    with tenant_transaction(pool, tenant_id) as conn:
        return conn.execute(
            "select task_name, args, status from jobs.procrastinate_jobs order by id"
        ).fetchall()


def reachable(settings: Settings, provider: str) -> list[UUID]:
    """Tenants with a working connection, whose schedules run."""
    with connect_as_owner(settings) as owner:
        rows = owner.execute(
            "select tenant_id from app.scheduled_connections where provider = %s", [provider]
        ).fetchall()
    return [row["tenant_id"] for row in rows]


def states(pool: Pool, tenant_id: UUID) -> set[str]:
    return {event["state"] for event in events(pool, tenant_id)}


def order_row(pool: Pool, tenant_id: UUID, number: int) -> dict[str, Any]:
    return next(r for r in loaded_rows(pool, tenant_id)["orders"] if r["order_id"] == str(number))


def find(pool: Pool, statement: str, tenant_id: UUID) -> dict[str, Any]:
    with tenant_transaction(pool, tenant_id) as conn:
        row = conn.execute(statement).fetchone()  # type: ignore[call-overload]
    assert row is not None
    return row  # type: ignore[no-any-return]


# -- verification -------------------------------------------------------------------------------


def test_a_signed_webhook_is_stored_with_its_job(
    url: str, pool: Pool, tenant: UUID, store: Store
) -> None:
    payload = {"id": 77, "updated_at": "2026-07-01T10:00:00+02:00", "email": "ada@example.com"}
    response = post_webhook(url, store.data.domain, "orders/updated", payload)
    assert (response.status_code, response.text) == (200, "")
    (event,) = events(pool, tenant)
    assert (event["kind"], event["subject"], event["state"]) == ("order", "77", "queued")
    assert event["store_updated_at"] == datetime(2026, 7, 1, 8, tzinfo=UTC)
    assert "ada@example.com" not in str(event)
    (job,) = jobs(pool, tenant)
    assert job == {
        "task_name": "quintile.webhooks",
        "args": {"tenant_id": str(tenant)},
        "status": "todo",
    }


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Shopify-Hmac-Sha256": "AAAA"},
        {"X-Shopify-Hmac-Sha256": ""},
        {"X-Shopify-Hmac-Sha256": "\u00e4\u00e4"},
        {"X-Shopify-Hmac-Sha256": "AAAA", "X-Shopify-Shop-Domain": "nobody.myshopify.com"},
    ],
    ids=["wrong", "empty", "not ascii", "unknown shop"],
)
def test_an_unsigned_webhook_is_refused_without_any_information(
    url: str, pool: Pool, tenant: UUID, store: Store, headers: dict[str, str]
) -> None:
    encoded = {name: value.encode("latin-1") for name, value in headers.items()}
    response = post_webhook(
        url,
        store.data.domain,
        "orders/create",
        {"id": 1},
        headers=encoded,  # type: ignore[arg-type]
    )
    assert response.status_code == 401
    body = response.json()
    assert body["type"] == "/problems/not-signed"
    assert body["detail"] == "The webhook's signature does not match its body."
    assert events(pool, tenant) == []
    assert jobs(pool, tenant) == []


def test_a_body_that_was_altered_is_refused(url: str, tenant: UUID, store: Store) -> None:
    from tests.hooks import signature

    body = b'{"id": 1}'
    for altered in (b'{"id": 2}', b'{"id": 1} ', b'{"id":1}'):
        response = post_webhook(
            url,
            store.data.domain,
            "orders/create",
            altered,
            headers={"X-Shopify-Hmac-Sha256": signature(body)},
        )
        assert response.status_code == 401
    assert post_webhook(url, store.data.domain, "orders/create", body).status_code == 200


def test_during_a_rotation_both_secrets_are_accepted(
    here: Settings, pool: Pool, tenant: UUID, store: Store
) -> None:
    rotating = replace(here, shopify_client_secret="the-new-one, the-old-one")
    with served(rotating) as url:
        answers = [
            post_webhook(
                url, store.data.domain, "orders/create", {"id": n}, secret=secret
            ).status_code
            for n, secret in enumerate(["the-new-one", "the-old-one", "another", "the-new-one,"], 1)
        ]
    assert answers == [200, 200, 401, 401]
    assert len(events(pool, tenant)) == 2


def test_without_a_secret_all_webhooks_are_refused(
    here: Settings, tenant: UUID, store: Store
) -> None:
    with served(replace(here, shopify_client_secret="")) as url:
        for secret in ("", CLIENT_SECRET):
            answer = post_webhook(url, store.data.domain, "orders/create", {"id": 1}, secret=secret)
            assert answer.status_code == 401


def test_a_body_over_the_limit_is_refused(url: str, tenant: UUID, store: Store, pool: Pool) -> None:
    large = b'{"id": 1, "note": "' + b"x" * 2_000_000 + b'"}'
    assert post_webhook(url, store.data.domain, "orders/create", large).status_code == 200
    huge = b"x" * (MAX_BODY_BYTES + 1)
    assert post_webhook(url, store.data.domain, "orders/create", huge).status_code == 413
    assert len(events(pool, tenant)) == 1


def test_a_body_that_names_another_shop_is_refused(
    url: str, pool: Pool, tenant: UUID, make_tenant: MakeTenant, store: Store
) -> None:
    """Headers are not signed: a body of one shop must not reach another shop's tenant."""
    other = make_tenant("other", OTHER_SHOP)
    for topic, payload in (
        ("app/uninstalled", {"myshopify_domain": store.data.domain}),
        ("shop/redact", {"shop_id": 1, "shop_domain": store.data.domain}),
    ):
        assert post_webhook(url, OTHER_SHOP, topic, payload).status_code == 401
    assert events(pool, other) == events(pool, tenant) == []


def test_other_topics_and_unknown_shops_are_ignored(
    url: str, pool: Pool, tenant: UUID, store: Store
) -> None:
    for shop, topic in (
        (store.data.domain, "products/update"),
        (store.data.domain, ""),
        ("gone.myshopify.com", "orders/create"),
        ("gone.myshopify.com", "customers/redact"),
        ("not a shop\\", "shop/redact"),
    ):
        payload = {"id": 1, "customer": {"id": 1}, "orders_to_redact": []}
        assert post_webhook(url, shop, topic, payload).status_code == 200
    assert events(pool, tenant) == []


def test_only_post_is_allowed(url: str) -> None:
    assert httpx.get(f"{url}/webhooks/shopify").status_code == 405


# -- duplicates and jobs ------------------------------------------------------------------------


def test_concurrent_duplicates_are_stored_once(
    url: str, pool: Pool, tenant: UUID, store: Store
) -> None:
    def send(_: int) -> int:
        return post_webhook(
            url, store.data.domain, "orders/updated", {"id": 5}, webhook_id="one-and-the-same"
        ).status_code

    with ThreadPoolExecutor(max_workers=8) as executor:
        assert set(executor.map(send, range(24))) == {200}
    assert [event["webhook_id"] for event in events(pool, tenant)] == ["one-and-the-same"]
    assert len(jobs(pool, tenant)) == 1


def test_a_duplicate_is_not_processed_again(
    url: str, pool: Pool, synced: UUID, store: Store, work: Work, shop: Sandbox
) -> None:
    number = store.data.orders[0].number
    for _ in range(2):
        post_webhook(url, store.data.domain, "orders/updated", {"id": number}, webhook_id="w1")
        work()
        shop.clear_requests()
    work()
    assert shop.shopify_requests() == []
    assert [event["state"] for event in events(pool, synced)] == ["done"]


def test_two_tenants_may_have_the_same_webhook_id(
    url: str, pool: Pool, tenant: UUID, make_tenant: MakeTenant, store: Store
) -> None:
    other = make_tenant("other", OTHER_SHOP)
    for domain in (store.data.domain, OTHER_SHOP):
        post_webhook(url, domain, "orders/updated", {"id": 5}, webhook_id="same")
    assert len(events(pool, tenant)) == len(events(pool, other)) == 1


def test_a_webhook_that_arrives_while_a_job_starts_is_processed(
    here: Settings, url: str, pool: Pool, synced: UUID, store: Store
) -> None:
    """Once all queued jobs have run, every webhook is processed, in any interleaving."""
    numbers = [order.number for order in store.data.orders[:60]]

    def send(number: int) -> None:
        post_webhook(url, store.data.domain, "orders/updated", {"id": number})

    def run_jobs() -> None:
        app = worker_app(here, pool)
        with app.open():
            app.run_worker(wait=False, install_signal_handlers=False, queues=["webhooks"])

    with ThreadPoolExecutor(max_workers=4) as senders, ThreadPoolExecutor(max_workers=1) as queue:
        sending = [senders.submit(send, number) for number in numbers]
        while not all(future.done() for future in sending):
            queue.submit(run_jobs).result()
        queue.submit(run_jobs).result()
    assert len(events(pool, synced)) == len(numbers)
    assert states(pool, synced) == {"done"}
    assert {job["status"] for job in jobs(pool, synced)} == {"succeeded"}
    assert len(jobs(pool, synced)) < len(numbers)


# -- orders and customers -----------------------------------------------------------------------


def test_a_changed_order_is_loaded_without_a_sync(
    subscribed: UUID, pool: Pool, store: Store, work: Work
) -> None:
    order = store.data.orders[0]
    lines = order_row(pool, subscribed, order.number)["line_items"]
    store.update_order(order.number, tags=["UGC"], refunded=150)
    work()
    row = order_row(pool, subscribed, order.number)
    assert (row["tags"], row["refunded_minor"]) == (["UGC"], 150)
    assert row["line_items"] == lines
    assert states(pool, subscribed) == {"done"}
    assert all(event["subject"] is None for event in events(pool, subscribed))


def test_an_order_is_loaded_by_a_token_that_has_just_lost_the_scope_for_products(
    subscribed: UUID, pool: Pool, store: Store, work: Work
) -> None:
    order = next(o for o in store.data.orders if o.line_items[0].product)
    store.scopes -= {"read_products"}
    store.update_order(order.number, tags=["UGC"])
    work()
    row = order_row(pool, subscribed, order.number)
    assert row["tags"] == ["UGC"]
    assert all("product_type" not in line for line in row["line_items"])
    assert states(pool, subscribed) == {"done"}


def test_an_edited_order_is_loaded_with_its_current_total(
    subscribed: UUID, pool: Pool, store: Store, work: Work
) -> None:
    order = next(o for o in store.data.orders if o.total > 500 and o.cancelled_at is None)
    edited = store.update_order(order.number, edited_away=500)
    work()
    row = order_row(pool, subscribed, order.number)
    assert (row["total_minor"], row["refunded_minor"]) == (order.total, order.refunded)
    assert row["current_total_minor"] == edited.current_total < order.total - order.refunded
    assert row["current_subtotal_minor"] == edited.current_subtotal


def test_a_new_order_of_a_new_customer_is_loaded(
    subscribed: UUID, pool: Pool, store: Store, work: Work
) -> None:
    customer = replace(store.data.customers[0], number=999_001, email="new@example.com")
    order = replace(
        store.data.orders[-1], number=999_002, name="#9999", customer_number=999_001, email=None
    )
    store.upsert_customer(customer)
    store.upsert_order(order)
    work()
    row = order_row(pool, subscribed, 999_002)
    assert (row["customer_id"], row["customer_email"]) == ("999001", "new@example.com")
    assert "999001" in {r["customer_id"] for r in loaded_rows(pool, subscribed)["customers"]}


def test_a_burst_about_one_order_reads_it_once(
    subscribed: UUID, pool: Pool, store: Store, work: Work, shop: Sandbox
) -> None:
    number = store.data.orders[0].number
    for cents in range(1, 31):
        store.update_order(number, refunded=cents)
    store.webhooks.settle()
    shop.clear_requests()
    work()
    # The order, and at most the pages of its remaining lines.
    assert len(shop.shopify_requests()) <= 3
    assert order_row(pool, subscribed, number)["refunded_minor"] == 30
    assert len(jobs(pool, subscribed)) <= 2


def test_late_duplicate_and_reordered_webhooks_leave_the_newest_state(
    subscribed: UUID, pool: Pool, store: Store, work: Work
) -> None:
    number = store.data.orders[0].number
    store.webhooks.fail(DeliveryFault("late", "orders/updated"))
    store.update_order(number, note="first")
    store.webhooks.fail(DeliveryFault("twice", "orders/updated"))
    store.update_order(number, note="second")
    work()
    assert order_row(pool, subscribed, number)["note"] == "second"
    before = row_versions(pool, subscribed)
    store.webhooks.release()
    work()
    assert order_row(pool, subscribed, number)["note"] == "second"
    assert row_versions(pool, subscribed) == before

    store.webhooks.fail(DeliveryFault("never", count=9))
    store.update_order(number, note="third")
    work()
    assert order_row(pool, subscribed, number)["note"] == "second"


def test_a_change_without_a_webhook_is_loaded_by_the_next_sync(
    here: Settings, subscribed: UUID, pool: Pool, store: Store, work: Work
) -> None:
    number = store.data.orders[0].number
    store.webhooks.fail(DeliveryFault("never", count=9))
    store.update_order(number, note="lost")
    work()
    sync_shopify(here, pool, subscribed, NullProgress())
    assert order_row(pool, subscribed, number)["note"] == "lost"


def test_an_older_state_never_overwrites_a_newer_row(
    url: str, synced: UUID, pool: Pool, store: Store, work: Work
) -> None:
    newest = max(store.data.orders, key=lambda order: order.updated_at)
    store.upsert_order(
        replace(newest, note="stale", updated_at=newest.updated_at - timedelta(seconds=30))
    )
    post_webhook(url, store.data.domain, "orders/updated", {"id": newest.number})
    work()
    assert order_row(pool, synced, newest.number)["note"] == newest.note


def test_an_order_that_is_older_than_its_webhook_is_read_again_later(
    url: str, synced: UUID, pool: Pool, store: Store, work: Work
) -> None:
    order = store.data.orders[0]
    ahead = (order.updated_at + timedelta(seconds=5)).isoformat()
    payload = {"id": order.number, "updated_at": ahead}
    post_webhook(url, store.data.domain, "orders/updated", payload)
    work()
    (event,) = events(pool, synced)
    assert (event["state"], event["attempts"]) == ("queued", 1)
    assert event["due_at"] > datetime.now(UTC)
    assert "does not show the change yet" in event["reason"]
    with tenant_transaction(pool, synced) as conn:
        row = conn.execute(
            "select scheduled_at from jobs.procrastinate_jobs where scheduled_at is not null"
        ).fetchone()
    assert row is not None
    assert row["scheduled_at"] == event["due_at"]
    with tenant_transaction(pool, synced) as conn:
        conn.execute("update app.webhook_events set due_at = now(), attempts = 3")
    work()
    assert states(pool, synced) == {"done"}


def test_a_deleted_order_stays_deleted(
    subscribed: UUID, pool: Pool, store: Store, work: Work, url: str
) -> None:
    number = store.data.orders[0].number
    store.webhooks.fail(DeliveryFault("late", "orders/updated"))
    store.update_order(number, note="before its deletion")
    store.delete_order(number)
    work()
    assert order_row(pool, subscribed, number)["deleted_at"] is not None
    store.webhooks.release()
    work()
    assert order_row(pool, subscribed, number)["deleted_at"] is not None


def test_customers_are_deleted_and_merged(
    subscribed: UUID, pool: Pool, store: Store, work: Work
) -> None:
    buyers = sorted({o.customer_number for o in store.data.orders if o.customer_number})
    kept, gone, deleted = buyers[0], buyers[1], buyers[2]
    orders = [o.number for o in store.data.orders if o.customer_number == gone]
    store.merge_customers(kept, gone)
    store.delete_customer(deleted)
    work()
    customers = {row["customer_id"]: row for row in loaded_rows(pool, subscribed)["customers"]}
    assert customers[str(gone)]["deleted_at"] is not None
    assert customers[str(deleted)]["deleted_at"] is not None
    assert customers[str(kept)]["deleted_at"] is None
    for number in orders:
        row = order_row(pool, subscribed, number)
        assert row["customer_id"] == str(kept)
        assert str(gone) in row["former_customer_ids"]


def test_a_failed_merge_changes_nothing(
    url: str, synced: UUID, pool: Pool, store: Store, work: Work
) -> None:
    buyers = sorted({o.customer_number for o in store.data.orders if o.customer_number})
    before = loaded_rows(pool, synced)
    post_webhook(
        url,
        store.data.domain,
        "customers/merge",
        {
            "admin_graphql_api_customer_kept_id": f"gid://shopify/Customer/{buyers[0]}",
            "admin_graphql_api_customer_deleted_id": f"gid://shopify/Customer/{buyers[1]}",
            "status": "failed",
            "errors": [{"customer_ids": [buyers[0]], "message": "merge in progress"}],
        },
    )
    work()
    assert loaded_rows(pool, synced) == before
    (event,) = events(pool, synced)
    assert event["state"] == "done"
    assert "has not merged" in event["reason"]


# -- segments -----------------------------------------------------------------------------------


def test_changed_and_deleted_segments_are_loaded(
    subscribed: UUID, pool: Pool, store: Store, work: Work
) -> None:
    renamed, gone = store.data.segments[1].number, store.data.segments[0].number
    store.update_segment(renamed, name="Renamed", query="number_of_orders >= 2")
    store.delete_segment(gone)
    work()
    rows = {row["segment_id"]: row for row in loaded_rows(pool, subscribed)["cached_segments"]}
    assert rows[str(renamed)]["name"] == "Renamed"
    assert rows[str(gone)]["gone_at"] is not None
    members = {
        row["customer_id"]
        for row in loaded_rows(pool, subscribed)["segment_members"]
        if row["segment_id"] == str(renamed)
    }
    expected = store.members_of(store.segments[renamed]).rows
    assert members == {str(facts.customer.number) for facts in expected}
    assert rows[str(renamed)]["member_count"] == len(expected)


def test_a_changed_segment_asks_for_an_update_of_promo_codes(
    work: Work, pool: Pool, store: Store, subscribed: UUID
) -> None:
    with tenant_transaction(pool, subscribed) as conn:
        conn.execute(
            """
            insert into app.promo_codes (
                tenant_id, code, title, percentage, starts_at, segments, requests_done
            )
            values (%s, 'VIP20', 'VIP20', 0.2, now(), '{shopify:1}', 1)
            """,
            [subscribed],
        )
    store.update_segment(store.data.segments[1].number, name="Renamed")
    work()
    found = find(pool, "select requests > requests_done as is_due from app.promo_codes", subscribed)
    assert found["is_due"]


def test_a_changed_membership_changes_one_row(
    url: str, synced: UUID, pool: Pool, store: Store, work: Work, shop: Sandbox
) -> None:
    segment = store.segments[store.data.segments[1].number]
    member = store.members_of(segment).rows[0].customer.number
    members = loaded_rows(pool, synced)["segment_members"]
    with tenant_transaction(pool, synced) as conn:
        conn.execute(
            "delete from shopify.segment_members where segment_id = %s and customer_id = %s",
            [str(segment.number), str(member)],
        )
        conn.execute(
            "update shopify.cached_segments set member_count = member_count - 1"
            " where segment_id = %s",
            [str(segment.number)],
        )
    shop.clear_requests()
    # In both spellings of the field names, and in contradictory order.
    joined = {"customer_id": member, "segment_id": segment.number}
    left = {
        "customerId": f"gid://shopify/Customer/{member}",
        "segmentId": f"gid://shopify/Segment/{segment.number}",
    }
    post_webhook(url, store.data.domain, "customer.joined_segment", joined)
    post_webhook(url, store.data.domain, "customer.left_segment", left)
    work()
    assert len(shop.shopify_requests()) == 1
    rows = loaded_rows(pool, synced)
    entered = find(
        pool,
        "select segment_id, customer_id from shopify.segment_members where entered_at is not null",
        synced,
    )
    assert entered == {"segment_id": str(segment.number), "customer_id": str(member)}
    assert rows["segment_members"] == members
    changes = find(pool, "select customer_id, has_entered from shopify.segment_changes", synced)
    assert changes == {"customer_id": str(member), "has_entered": True}
    counted = next(r for r in rows["cached_segments"] if r["segment_id"] == str(segment.number))
    assert counted["member_count"] == len(store.members_of(segment).rows)


def test_a_membership_is_answered_for_after_a_reading_that_is_being_stored(
    url: str, synced: UUID, pool: Pool, store: Store, work: Work
) -> None:
    """Otherwise the reading would not see that the store has confirmed a member since."""
    segment = store.segments[store.data.segments[1].number]
    member = store.members_of(segment).rows[0].customer.number
    joined = {"customer_id": member, "segment_id": segment.number}
    post_webhook(url, store.data.domain, "customer.joined_segment", joined)
    with ThreadPoolExecutor(1) as thread, tenant_transaction(pool, synced) as reading:
        reading.execute(
            "update shopify.cached_segments set name = 'Renamed' where segment_id = %s",
            [str(segment.number)],
        )
        working = thread.submit(work)
        with pytest.raises(TimeoutError):
            working.result(2)
        assert states(pool, synced) == {"queued"}
        reading.execute(
            "delete from shopify.segment_members where segment_id = %s and customer_id = %s",
            [str(segment.number), str(member)],
        )
    working.result(10)
    changes = find(pool, "select customer_id, has_entered from shopify.segment_changes", synced)
    assert changes == {"customer_id": str(member), "has_entered": True}


def test_customers_who_leave_a_segment_are_removed(
    subscribed: UUID, pool: Pool, store: Store, work: Work
) -> None:
    follow = next(s for s in store.segments.values() if store.members_of(s).rows and not s.is_large)
    victim = store.members_of(follow).rows[0].customer.number
    for order in [o for o in store.data.orders if o.customer_number == victim]:
        store.delete_order(order.number)
    store.delete_customer(victim)
    work()
    members = {
        (row["segment_id"], row["customer_id"])
        for row in loaded_rows(pool, subscribed)["segment_members"]
    }
    assert (str(follow.number), str(victim)) not in members


# -- bulk operations and uninstalls -------------------------------------------------------------


def test_a_finished_bulk_operation_queues_a_sync(
    url: str, synced: UUID, pool: Pool, store: Store, work: Work
) -> None:
    payload = {"admin_graphql_api_id": "gid://shopify/BulkOperation/7", "status": "completed"}
    post_webhook(url, store.data.domain, "bulk_operations/finish", payload)
    work()
    row = find(pool, "select kind, state, trigger from app.runs", synced)
    assert row == {"kind": "shopify_sync", "state": "queued", "trigger": "webhook"}
    # Another one queues no second run.
    post_webhook(url, store.data.domain, "bulk_operations/finish", payload)
    work()
    assert find(pool, "select count(*) as runs from app.runs", synced) == {"runs": 1}


def test_removing_the_app_cancels_syncs_of_the_store_and_deletes_the_token(
    here: Settings, subscribed: UUID, pool: Pool, store: Store, work: Work
) -> None:
    with tenant_transaction(pool, subscribed) as conn:
        conn.execute(
            "insert into app.connections (tenant_id, provider, sealed_secret, key_id, last_four)"
            " values (%s, 'klaviyo', 'x', 'k', 'xxxx')",
            [subscribed],
        )
        for kind in get_args(Enqueueable):
            enqueue(conn, subscribed, kind)
    store.uninstall()
    work()
    # One refusal may be a mistake.
    state = "select * from app.connections where provider = 'shopify'"
    row = find(pool, state, subscribed)
    assert (row["state"], row["sealed_secret"] is None) == ("refused", False)
    with stamina.set_testing(True, attempts=1):
        work_until_settled(work, pool, subscribed)
    row = find(pool, state, subscribed)
    assert row["state"] == "disconnected"
    assert row["sealed_secret"] is row["key_id"] is None
    assert "removed from the store" in row["state_reason"]
    assert reachable(here, "shopify") == reachable(here, "klaviyo") == []
    run = find(pool, "select * from app.runs where kind = 'shopify_sync'", subscribed)
    assert run["state"] == "failed"
    assert "removed from the store" in run["error"]
    with tenant_transaction(pool, subscribed) as conn:
        rows = conn.execute("select kind, state from app.runs").fetchall()
    # Lists in Klaviyo are synced from what was loaded, and builds read it.
    assert {row["kind"] for row in rows if row["state"] == "queued"} == {
        "build",
        "klaviyo_plan",
        "klaviyo_sync",
    }
    # The queued job has no run to start.
    worker = Worker(here, pool)
    worker.do(worker.shopify_sync, str(subscribed), str(run["run_id"]))
    with running_app(here) as app:
        client = client_of(app, here, subscribed)
        assert client.get("/api/admin/me").get_json()["is_shopify_connected"] is False
        assert client.post("/api/admin/segments/shopify/sync").status_code == 409

    store.install()
    connect_shopify(here, pool, subscribed, store.data.domain, store.data.token)
    assert reachable(here, "shopify") == reachable(here, "klaviyo") == [subscribed]


def test_a_removal_before_the_last_connection_changes_nothing(
    url: str, synced: UUID, pool: Pool, store: Store, work: Work, here: Settings
) -> None:
    post_webhook(
        url,
        store.data.domain,
        "app/uninstalled",
        {"id": 1, "myshopify_domain": store.data.domain},
        triggered_at=datetime.now(UTC) - timedelta(hours=1),
    )
    work()
    assert find(pool, "select state from app.connections", synced) == {"state": "active"}
    (event,) = events(pool, synced)
    assert "connected again since" in event["reason"]
    assert reachable(here, "shopify") == [synced]


# -- failures -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("topic", "payload", "reason"),
    [
        ("orders/create", b"\xff\x00 no json", "not a JSON object"),
        ("orders/create", b"[1, 2]", "not a JSON object"),
        ("orders/create", {"name": "#1001"}, "id is missing"),
        ("orders/create", {"id": "1; drop table"}, "is not an id"),
        ("orders/create", {"id": 1, "updated_at": "yesterday"}, "yesterday"),
        ("customers/redact", {"customer": None}, "another form"),
        ("customers/merge", {"status": "completed"}, "is missing"),
    ],
    ids=["no json", "a list", "no id", "no number", "no time", "no customer", "no ids"],
)
def test_an_unreadable_webhook_is_quarantined_and_does_not_stop_others(
    url: str,
    synced: UUID,
    pool: Pool,
    store: Store,
    work: Work,
    topic: str,
    payload: Any,
    reason: str,
) -> None:
    number = store.data.orders[0].number
    store.update_order(number, note="the next one")
    assert post_webhook(url, store.data.domain, topic, payload).status_code == 200
    post_webhook(url, store.data.domain, "orders/updated", {"id": number})
    work()
    unreadable, done = events(pool, synced)
    assert (unreadable["state"], done["state"]) == ("set_aside", "done")
    assert unreadable["reason"].startswith("It was not understood: ")
    assert reason in unreadable["reason"]
    assert unreadable["advice"]
    if isinstance(payload, dict):
        assert unreadable["payload"].items() >= payload.items()
    assert order_row(pool, synced, number)["note"] == "the next one"


def test_an_order_that_makes_the_query_fail_does_not_stop_others(
    url: str, synced: UUID, pool: Pool, store: Store, work: Work
) -> None:
    """The order has a status that the API does not know, so every query with the order fails."""
    bad, good = store.data.orders[0].number, store.data.orders[1].number
    store.update_order(good, note="fine")
    store.update_order(bad, fulfillment_status="NO_SUCH_STATUS")
    for number in (bad, good):
        post_webhook(url, store.data.domain, "orders/updated", {"id": number})
    work()
    by_subject = {event["subject"]: event for event in events(pool, synced)}
    assert by_subject[str(bad)]["state"] == "set_aside"
    assert by_subject[str(bad)]["reason"]
    assert by_subject[None]["state"] == "done"
    assert order_row(pool, synced, good)["note"] == "fine"


def test_an_unreadable_order_is_quarantined_as_in_a_sync(
    url: str, synced: UUID, pool: Pool, store: Store, work: Work
) -> None:
    order = store.data.orders[0]
    huge = [replace(order.line_items[0], unit_price=10**30)]
    store.update_order(order.number, line_items=huge)
    post_webhook(url, store.data.domain, "orders/updated", {"id": order.number})
    work()
    (rejected,) = loaded_rows(pool, synced)["rejected_rows"]
    assert rejected["source_id"] == str(order.number)
    assert states(pool, synced) == {"done"}


def test_webhooks_are_postponed_while_the_store_does_not_answer_and_then_quarantined(
    url: str, synced: UUID, pool: Pool, store: Store, work: Work, shop: Sandbox
) -> None:
    number = store.data.orders[0].number
    post_webhook(url, store.data.domain, "orders/updated", {"id": number})
    with stamina.set_testing(True, attempts=1):
        for attempt in range(1, 8):
            shop.fail_shopify(Fault(status=503))
            work()
            (event,) = events(pool, synced)
            assert (event["state"], event["attempts"]) == ("queued", attempt)
            assert "503" in event["reason"]
            with tenant_transaction(pool, synced) as conn:
                conn.execute("update app.webhook_events set due_at = now()")
        shop.fail_shopify(Fault(status=503))
        work()
    (event,) = events(pool, synced)
    assert (event["state"], event["attempts"]) == ("set_aside", 8)
    assert "next sync" in event["advice"]


def test_webhooks_wait_while_the_token_is_refused(
    url: str, synced: UUID, pool: Pool, store: Store, work: Work, shop: Sandbox
) -> None:
    number = store.data.orders[0].number
    store.update_order(number, note="at last")
    shop.fail_shopify(Fault(status=401))
    post_webhook(url, store.data.domain, "orders/updated", {"id": number})
    with stamina.set_testing(True, attempts=1):
        work()
    assert find(pool, "select state from app.connections", synced) == {"state": "refused"}
    (event,) = events(pool, synced)
    assert (event["state"], event["attempts"]) == ("queued", 1)
    assert "401" in event["reason"]
    with tenant_transaction(pool, synced) as conn:
        conn.execute("update app.webhook_events set due_at = now()")
    work()
    assert states(pool, synced) == {"done"}
    assert order_row(pool, synced, number)["note"] == "at last"


def test_webhooks_are_quarantined_when_the_token_stays_refused(
    url: str, synced: UUID, pool: Pool, store: Store, work: Work
) -> None:
    store.is_installed = False
    post_webhook(url, store.data.domain, "orders/updated", {"id": store.data.orders[0].number})
    with stamina.set_testing(True, attempts=1):
        for _ in range(8):
            work()
            with tenant_transaction(pool, synced) as conn:
                conn.execute("update app.webhook_events set due_at = now()")
    (event,) = events(pool, synced)
    assert (event["state"], event["attempts"]) == ("set_aside", 8)
    assert "webhooks retry" in event["advice"]


def test_quarantined_webhooks_are_listed_and_retried(
    here: Settings, url: str, synced: UUID, pool: Pool, store: Store, work: Work, shop: Sandbox
) -> None:
    number = store.data.orders[0].number
    with tenant_transaction(pool, synced) as conn:
        disconnect(conn, synced, "shopify", "for this test")
    post_webhook(url, store.data.domain, "orders/updated", {"id": number}, webhook_id="w-1")
    work()
    post_webhook(url, store.data.domain, "orders/create", {"no": "id"}, webhook_id="w-2")
    connect_shopify(here, pool, synced, store.data.domain, store.data.token)
    store.update_order(number, note="at last")
    with running_app(here) as app:
        client = client_of(app, here, synced)
        listed = client.get("/api/admin/webhooks").get_json()["data"]
        assert [item["webhook_id"] for item in listed] == ["w-2", "w-1"]
        only = client.get("/api/admin/webhooks?topic=orders/updated&limit=1").get_json()["data"]
        assert [item["webhook_id"] for item in only] == ["w-1"]
        retried = client.post("/api/admin/webhooks/w-1/retry")
        assert (retried.status_code, retried.get_json()["state"]) == (202, "queued")
        still = client.post("/api/admin/webhooks/w-2/retry")
        assert (still.status_code, still.get_json()["state"]) == (202, "set_aside")
        assert client.post("/api/admin/webhooks/w-3/retry").status_code == 404
        assert client.post("/api/admin/webhooks/%00/retry").status_code == 404
    work()
    assert order_row(pool, synced, number)["note"] == "at last"
    by_id = {event["webhook_id"]: event["state"] for event in events(pool, synced)}
    assert by_id == {"w-1": "done", "w-2": "set_aside"}


def test_a_webhook_never_changes_another_tenant(
    here: Settings,
    subscribed: UUID,
    pool: Pool,
    make_tenant: MakeTenant,
    store: Store,
    work: Work,
    url: str,
) -> None:
    """The other tenant has rows with the same ids as in the webhooks."""
    other = make_tenant("other", OTHER_SHOP)
    order, customer = store.data.orders[0], store.data.customers[0]
    with tenant_transaction(pool, other) as conn:
        conn.execute(
            "insert into shopify.orders (tenant_id, order_id, customer_id, processed_at, currency,"
            " total_minor, subtotal_minor, source) values (%s, %s, %s, now(), 'EUR', 1, 1, 'csv')",
            [other, str(order.number), str(customer.number)],
        )
        conn.execute(
            "insert into shopify.customers (tenant_id, customer_id) values (%s, %s)",
            [other, str(customer.number)],
        )
    before = (loaded_rows(pool, other), row_versions(pool, other))
    store.update_order(order.number, note="ours")
    store.delete_order(order.number)
    store.delete_customer(customer.number)
    work()
    assert (loaded_rows(pool, other), row_versions(pool, other)) == before
    assert events(pool, other) == []
    assert order_row(pool, subscribed, order.number)["deleted_at"] is not None


def test_old_webhooks_are_deleted_except_open_privacy_requests(
    here: Settings, url: str, pool: Pool, tenant: UUID, store: Store
) -> None:
    for name, topic in (("old", "orders/create"), ("new", "orders/create")):
        post_webhook(url, store.data.domain, topic, {"no": name}, webhook_id=name)
    post_webhook(
        url, store.data.domain, "customers/redact", {"customer": {"id": 1}}, webhook_id="privacy"
    )
    unreadable = ("customers/data_request", "customers/redact", "shop/redact")
    for topic in unreadable:
        body = {"customer": "unknown", "to": topic}
        post_webhook(url, store.data.domain, topic, body, webhook_id=topic)
    stored = {event["webhook_id"]: event for event in events(pool, tenant)}
    assert {stored[topic]["kind"] for topic in unreadable} == {None}
    with tenant_transaction(pool, tenant) as conn:
        conn.execute(
            "update app.webhook_events set state = 'set_aside',"
            " finished_at = now() - interval '31 days' where webhook_id <> 'new'"
        )
    Worker(here, pool).housekeep(str(tenant))
    assert {event["webhook_id"] for event in events(pool, tenant)} == {
        "new",
        "privacy",
        *unreadable,
    }


def test_a_webhook_that_lost_its_job_gets_a_new_one(
    here: Settings, url: str, pool: Pool, tenant: UUID, superuser: Any
) -> None:
    shop = find(pool, "select shop_domain from app.tenants", tenant)["shop_domain"]
    post_webhook(url, shop, "orders/create", {"id": 1})
    post_webhook(url, shop, "customers/redact", {"customer": {"id": 1}}, webhook_id="p")
    superuser.execute("set search_path = jobs")
    superuser.execute("delete from jobs.procrastinate_jobs")
    superuser.execute("update app.webhook_events set due_at = now() - interval '1 hour'")
    Worker(here, pool).housekeep(str(tenant))
    Worker(here, pool).housekeep(str(tenant))
    assert sorted(job["task_name"] for job in jobs(pool, tenant)) == [
        "quintile.privacy",
        "quintile.webhooks",
    ]


def test_a_privacy_request_that_lost_its_job_gets_a_new_one_beside_jobs_of_other_webhooks(
    here: Settings, url: str, pool: Pool, tenant: UUID, superuser: Any
) -> None:
    shop = find(pool, "select shop_domain from app.tenants", tenant)["shop_domain"]
    post_webhook(url, shop, "orders/create", {"id": 1})
    for number, webhook_id in ((1, "lost"), (2, "kept")):
        payload = {"customer": {"id": number}}
        post_webhook(url, shop, "customers/redact", payload, webhook_id=webhook_id)
    superuser.execute("set search_path = jobs")
    superuser.execute("delete from jobs.procrastinate_jobs where args ->> 'webhook_id' = 'lost'")
    superuser.execute("update app.webhook_events set due_at = now() - interval '1 hour'")
    Worker(here, pool).housekeep(str(tenant))
    Worker(here, pool).housekeep(str(tenant))
    queued = [(job["task_name"], job["args"].get("webhook_id")) for job in jobs(pool, tenant)]
    assert sorted(queued, key=str) == [
        ("quintile.privacy", "kept"),
        ("quintile.privacy", "lost"),
        ("quintile.webhooks", None),
    ]
