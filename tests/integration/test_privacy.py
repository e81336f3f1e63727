"""Privacy requests: exporting a person's data, erasing a person, erasing a tenant."""

from __future__ import annotations

import io
import json
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
import stamina
from psycopg import sql

from sandbox import Fault, Sandbox
from sandbox.klaviyo import Account
from sandbox.shopify import Store
from service.builds.run import build
from service.core.config import Settings
from service.core.credentials import disconnect
from service.core.db import (
    Connection,
    Pool,
    advisory_lock,
    connect,
    connect_as_owner,
    create_pool,
    one,
    tenant_transaction,
    transform_url,
)
from service.core.queries import query
from service.klaviyo.connection import connect_klaviyo
from service.queue.enqueue import Enqueueable, enqueue
from service.shopify.connection import connect_shopify
from service.shopify.orders_csv import import_orders
from service.shopify.sync import sync_shopify
from service.tenants.tenants import add_tenant
from service.worker.tasks import Worker
from tests.clones import digests
from tests.command import quintile, quintile_process
from tests.conftest import AS_OF, NullProgress
from tests.hooks import CLIENT_SECRET, events, post_webhook, served, work_until_settled
from tests.shops import small_shop
from tests.warm_dbt import dbt
from tests.web import add_samples, add_scored_customers, client_of, running_app

SCHEMAS = ["shopify", "app", "jobs", "staging", "intermediate", "marts"]
NAME = "Zaphira Quillfeather"
EMAIL = "zaphira@quillfeather.example"
HANDLE = "zaphiraquill"


@pytest.fixture
def store() -> Store:
    data = small_shop()
    # A person with orders, one of them a sample, and a unique name.
    placed = Counter(o.customer_number for o in data.orders if not o.test and not o.cancelled_at)
    paying = {o.customer_number for o in data.orders if o.subtotal > 0}
    number = next(
        n for n, orders in sorted(placed.items(), key=str) if n in paying and n and orders > 2
    )
    first, last = NAME.split()
    customers = [
        replace(c, first_name=first, last_name=last, email=EMAIL) if c.number == number else c
        for c in data.customers
    ]
    own_orders = [o for o in data.orders if o.customer_number == number]
    orders = [
        replace(
            o,
            email=EMAIL,
            note=f"for {NAME}",
            tags=["UGC", f"@{HANDLE}"],
            refunded=o.total,
            test=False,
        )
        if o is own_orders[-1]
        else o
        for o in data.orders
    ]
    return Store(replace(data, customers=customers, orders=orders))


@pytest.fixture
def shop(store: Store) -> Iterator[Sandbox]:
    account = Account(
        "pk_privacy_kessel", name="Kessel", currency="EUR", timezone="UTC", prefix="KK"
    )
    account.create_profile({"email": EMAIL, "first_name": NAME})
    with Sandbox([store], [account]) as sandbox:
        yield sandbox


@pytest.fixture
def here(built_settings: Settings, shop: Sandbox) -> Settings:
    return replace(
        built_settings,
        shopify_url=shop.shopify_url,
        klaviyo_url=shop.klaviyo_url,
        shopify_client_secret=CLIENT_SECRET,
    )


@pytest.fixture
def pool(here: Settings) -> Iterator[Pool]:
    pool = create_pool(here)
    yield pool
    pool.close()


@pytest.fixture
def superuser(here: Settings) -> Iterator[Connection]:
    with connect(here.database_url) as conn:
        yield conn


@pytest.fixture
def url(here: Settings) -> Iterator[str]:
    with served(here) as url:
        yield url


@pytest.fixture
def tenant(here: Settings, pool: Pool, store: Store) -> UUID:
    with connect_as_owner(here) as owner:
        tenant_id = add_tenant(owner, "kessel", store.data.domain)
    connect_shopify(here, pool, tenant_id, store.data.domain, store.data.token)
    sync_shopify(here, pool, tenant_id, NullProgress())
    return tenant_id


@pytest.fixture
def person(store: Store) -> str:
    """The customer's number, as text."""
    return next(str(c.number) for c in store.data.customers if c.email == EMAIL)


@pytest.fixture
def orders(store: Store, person: str) -> list[str]:
    return [str(o.number) for o in store.data.orders if str(o.customer_number) == person]


@pytest.fixture
def everywhere(
    here: Settings,
    pool: Pool,
    tenant: UUID,
    store: Store,
    shop: Sandbox,
    person: str,
    orders: list[str],
) -> UUID:
    """The tenant, with the person in every table that can hold one, after two builds."""
    (account,) = shop.accounts.values()
    connect_klaviyo(here, pool, tenant, account.key)
    with tenant_transaction(pool, tenant) as conn:
        conn.execute(
            """
            insert into shopify.rejected_rows (tenant_id, entity, source_id, reason, payload)
            values
                (%(t)s, 'order', '1', 'bad', jsonb_build_object('customer', jsonb_build_object(
                    'id', 'gid://shopify/Customer/' || %(c)s::text, 'displayName', %(n)s::text))),
                (%(t)s, 'csv_line', '7', 'bad',
                    jsonb_build_object('customer_id', %(c)s::text, 'customer_name', %(n)s::text)),
                (%(t)s, 'csv_line', '8', 'bad', jsonb_build_array(upper(%(e)s), %(n)s::text)),
                (%(t)s, 'customer', %(c)s, 'bad', jsonb_build_object('name', %(n)s::text)),
                (%(t)s, 'segment_member', '5/' || %(c)s::text, 'bad', '{}')
            """,
            {"t": tenant, "c": person, "e": EMAIL, "n": NAME},
        )
        conn.execute(
            """
            insert into shopify.segment_members (
                tenant_id, segment_id, customer_id, email, display_name
            )
            select tenant_id, segment_id, %(c)s, %(e)s, %(n)s from shopify.cached_segments
            on conflict do nothing
            """,
            {"c": person, "e": EMAIL, "n": NAME},
        )
        conn.execute(
            """
            with config as (
                insert into app.klaviyo_sync_configs (tenant_id, segment_key, list_id, list_name)
                values (%(t)s, 'rfm:champions', 'L', 'VIPs')
                returning config_id
            )
            insert into app.klaviyo_ledger (
                tenant_id, config_id, email, customer_id, state, error_detail
            )
            select %(t)s, config_id, %(e)s, %(c)s, 'rejected', %(e)s || ' is no address'
            from config
            """,
            {"t": tenant, "c": person, "e": EMAIL},
        )
        conn.execute(
            """
            with code as (
                insert into app.promo_codes (
                    tenant_id, code, title, percentage, starts_at, segments
                )
                values (%(t)s, 'VIP20', 'VIP', 0.2, now(), array['rfm:champions'])
                returning promo_code_id
            ),
            target as (
                insert into app.promo_code_targets (tenant_id, promo_code_id, kind, target_id)
                select %(t)s, promo_code_id, 'customer', %(c)s from code
            )
            insert into app.promo_code_target_changes (
                tenant_id, promo_code_id, changed_at, kind, target_id, change
            )
            select %(t)s, promo_code_id, now(), 'customer', %(c)s, 'added' from code
            """,
            {"t": tenant, "c": person},
        )
        conn.execute(
            """
            with pending as (
                insert into app.shopify_metafield_changes (
                    tenant_id, customer_id, is_removal, batch, r_score
                )
                values (%(t)s, %(c)s, false, 0, 4)
            )
            insert into app.shopify_customer_metafields (
                tenant_id, customer_id, segment, written_at
            )
            values (%(t)s, %(c)s, 'champions', now())
            """,
            {"t": tenant, "c": person},
        )
        conn.execute(
            """
            with list as (
                insert into app.klaviyo_lists (tenant_id, list_id, name)
                values (%(t)s, 'L', 'VIPs')
                returning list_id
            ),
            profile as (
                insert into app.klaviyo_list_profiles (tenant_id, list_id, profile_id, email)
                select %(t)s, list_id, 'P', %(e)s from list
            ),
            change as (
                insert into app.klaviyo_list_changes (
                    tenant_id, list_id, profile_id, email, changed_at, has_entered
                )
                select %(t)s, list_id, 'P', %(e)s, now(), true from list
            ),
            sent as (
                insert into app.klaviyo_profiles (tenant_id, email, properties_hash)
                values (%(t)s, %(e)s, 'hash')
            ),
            event as (
                insert into app.klaviyo_events (
                    tenant_id, config_id, email, metric, properties, is_backfill, occurred_at
                )
                select %(t)s, config_id, %(e)s, 'Entered Segment', '{}', false, now()
                from app.klaviyo_sync_configs
            ),
            run as (
                insert into app.runs (tenant_id, kind, trigger, state, finished_at)
                values (%(t)s, 'klaviyo_sync', 'cli', 'failed', now())
                returning run_id
            )
            insert into app.klaviyo_sync_runs (
                tenant_id, run_id, config_id, segment_key, list_id, list_name, direction, state,
                plan, error, finished_at
            )
            select
                %(t)s, r.run_id, c.config_id, c.segment_key, c.list_id, c.list_name, c.direction,
                'failed',
                jsonb_build_object(
                    'add',
                    jsonb_build_object(
                        'count', 2,
                        'examples', jsonb_build_array(
                            jsonb_build_object('email', %(e)s::text, 'customer_id', %(c)s::text),
                            jsonb_build_object('email', 'another@example.org')
                        )
                    ),
                    'stop', null
                ),
                'Klaviyo refuses ' || upper(%(e)s), now()
            from run as r
            cross join app.klaviyo_sync_configs as c
            """,
            {"t": tenant, "c": person, "e": EMAIL},
        )
        conn.execute(
            """
            with made as (
                insert into app.creators (tenant_id, handle, name, email)
                values (%(t)s, %(h)s, %(n)s, null), (%(t)s, null, %(n)s, %(e)s)
                returning creator_id, handle
            ),
            aliases as (
                insert into app.creator_aliases (tenant_id, kind, alias, creator_id)
                select %(t)s, 'handle', 'quillz', creator_id from made where handle is null
            )
            insert into app.sample_creator_links (tenant_id, order_id, creator_id, linked_by)
            select %(t)s, %(o)s, creator_id, 'Token' from made where handle is not null
            """,
            {"t": tenant, "h": HANDLE, "n": NAME, "e": EMAIL, "o": orders[-1]},
        )
        conn.execute(
            "insert into app.sample_decisions (tenant_id, order_id, decision, decided_by)"
            " values (%s, %s, 'dismissed', 'Token')",
            [tenant, orders[-1]],
        )
        conn.execute(
            "update app.rfm_settings set excluded_customer_ids = array[%s, 'someone-else']",
            [person],
        )
        conn.execute(
            "insert into app.runs (tenant_id, kind, trigger, state, error, finished_at)"
            " values (%s, 'klaviyo_sync', 'cli', 'failed', %s, now())",
            [tenant, f"Klaviyo refuses {EMAIL.upper()}."],
        )
        conn.execute(
            "insert into shopify.rereads (tenant_id, entity, source_id, is_visible)"
            " values (%(t)s, 'customer', %(c)s, true), (%(t)s, 'order', %(o)s, true)",
            {"t": tenant, "c": person, "o": orders[0]},
        )
        # An order of another customer that was theirs before.
        conn.execute(
            "update shopify.orders set former_customer_ids = array[%s], landed_xid = default"
            " where order_id ="
            " (select min(order_id) from shopify.orders where order_id <> all(%s))",
            [person, orders],
        )
    with tenant_transaction(pool, tenant) as conn:
        conn.execute("update app.rfm_settings set excluded_customer_ids = '{}'")
    build(here, as_of=(AS_OF - timedelta(days=20)).isoformat(), quiet=True)
    build(here, as_of=AS_OF.isoformat(), quiet=True)
    with tenant_transaction(pool, tenant) as conn:
        conn.execute(
            "update app.rfm_settings set excluded_customer_ids = array[%s, 'someone-else']",
            [person],
        )
    return tenant


def found(conn: Connection, *texts: str) -> dict[str, int]:
    """Where any of these texts occurs: number of rows by table and column, of any type."""
    columns = conn.execute(
        """
        select n.nspname as schema, c.relname as relation, a.attname as column
        from pg_class as c
        inner join pg_namespace as n on c.relnamespace = n.oid
        inner join pg_attribute as a on c.oid = a.attrelid and a.attnum > 0
        where c.relkind in ('r', 'p') and n.nspname = any(%s) and not a.attisdropped
        """,
        [SCHEMAS],
    ).fetchall()
    assert len(columns) > 300
    pattern = "|".join(texts)
    places = {}
    for place in columns:
        statement = sql.SQL("select count(*) as n from {} where {}::text ~* %s").format(
            sql.Identifier(place["schema"], place["relation"]), sql.Identifier(place["column"])
        )
        row = conn.execute(statement, [pattern]).fetchone()
        assert row is not None
        if row["n"]:
            places[f"{place['schema']}.{place['relation']}.{place['column']}"] = row["n"]
    return places


def tables_naming_customers(conn: Connection) -> set[str]:
    """Every table that can hold a customer's data."""
    rows = conn.execute(
        """
        select distinct c.oid::regclass::text as relation
        from pg_class as c
        inner join pg_namespace as n on c.relnamespace = n.oid
        inner join pg_attribute as a on c.oid = a.attrelid and not a.attisdropped
        where
            c.relkind in ('r', 'p')
            and n.nspname = any(%s)
            and (a.attname = 'customer_id' or a.attname like '%%email%%')
            -- Counts of members who can be e-mailed.
            and a.atttypid <> all(array['integer', 'bigint']::regtype[])
        """,
        [SCHEMAS],
    ).fetchall()
    return {row["relation"] for row in rows}


def add_to_remaining_tables(conn: Connection, tenant_id: UUID, person: str) -> None:
    """Add the person to the tables that these syncs and builds leave without them."""
    parameters = {"t": tenant_id, "c": person, "e": EMAIL, "n": NAME}
    for statement in (
        "insert into shopify.segment_changes"
        " (tenant_id, segment_id, customer_id, changed_at, has_entered)"
        " values (%(t)s, '1', %(c)s, '2026-01-01', true)",
        "insert into shopify.segment_confirmations"
        " (tenant_id, segment_id, customer_id, confirmed_at, is_member)"
        " values (%(t)s, '1', %(c)s, '2026-01-01', true)",
        "insert into intermediate.int_customers_touched (tenant_id, customer_id)"
        " values (%(t)s, %(c)s) on conflict do nothing",
        "insert into intermediate.int_customers_backfilled_for_rfm"
        " (tenant_id, instants_back, customer_id, segment, net_minor)"
        " values (%(t)s, 1, %(c)s, 'loyal', 1)",
        "insert into intermediate.int_customers_scored_by_window (tenant_id, window_days,"
        " customer_id, r_score, f_score, m_score, segment, last_order_at, order_count, net_minor)"
        " values (%(t)s, 90, %(c)s, 1, 1, 1, 'loyal', '2026-01-01', 1, 1)",
        "insert into marts.sample_near_misses (tenant_id, order_id, reason, evidence, customer_id,"
        " customer_name, customer_email, tags, goods_paid, currency, ordered_at) values (%(t)s,"
        " 'another', 'tag_not_free', '{}', %(c)s, %(n)s, %(e)s, '{}', 1, 'USD', '2026-01-01')",
    ):
        conn.execute(statement, parameters)


def traces(person: str) -> list[str]:
    return [rf"\m{person}\M", EMAIL, *NAME.split(), HANDLE, "quillz"]


def redact_payload(store: Store, person: str, orders: list[str]) -> dict[str, Any]:
    return {
        "shop_id": store.data.number,
        "shop_domain": store.data.domain,
        "customer": {"id": int(person), "email": EMAIL.upper(), "phone": None},
        "orders_to_redact": [int(order) for order in orders],
    }


def run_privacy_jobs(settings: Settings, pool: Pool, tenant_id: UUID) -> None:
    """Run the queued privacy jobs, as the worker does."""
    worker = Worker(settings, pool)
    with connect(transform_url(settings)) as conn:
        waiting = conn.execute(
            "select args from jobs.procrastinate_jobs"
            " where task_name = 'quintile.privacy' and status = 'todo' order by id"
        ).fetchall()
    assert waiting
    for job in waiting:
        assert job["args"]["tenant_id"] == str(tenant_id)
        worker.privacy(**job["args"])


def receipts(settings: Settings) -> list[dict[str, Any]]:
    with connect_as_owner(settings) as conn:
        return conn.execute("select * from app.privacy_receipts order by completed_at").fetchall()


# -- export -------------------------------------------------------------------------------------


def test_a_data_request_exports_all_data_about_the_person(
    here: Settings,
    url: str,
    pool: Pool,
    everywhere: UUID,
    store: Store,
    person: str,
    orders: list[str],
    superuser: Connection,
) -> None:
    payload = {
        "shop_domain": store.data.domain,
        "customer": {"id": int(person), "email": EMAIL},
        "orders_requested": [int(orders[0])],
        "data_request": {"id": 9999},
    }
    assert (
        post_webhook(url, store.data.domain, "customers/data_request", payload).status_code == 200
    )
    run_privacy_jobs(here, pool, everywhere)
    with running_app(here) as app:
        client = client_of(app, here, everywhere)
        (listed,) = client.get("/api/admin/privacy/exports").get_json()["data"]
        answer = client.get(f"/api/admin/privacy/exports/{listed['export_id']}")
        (receipt,) = client.get("/api/admin/privacy/receipts").get_json()["data"]
    assert answer.headers["Content-Disposition"].startswith("attachment; filename=")
    document = answer.get_json()
    assert document["customer_id"] == person
    assert document["email_addresses"] == [EMAIL]
    held = document["held"]
    assert {order["order_id"] for order in held["shopify.orders"]} >= set(orders)
    assert held["shopify.customers"][0]["email"] == EMAIL
    assert len(held["shopify.rejected_rows"]) == 4
    assert set(held) >= {
        "shopify.segment_members",
        "app.klaviyo_ledger",
        "app.shopify_customer_metafields",
        "app.shopify_metafield_changes",
        "app.klaviyo_list_profiles",
        "app.klaviyo_list_changes",
        "app.klaviyo_profiles",
        "app.klaviyo_events",
        "app.klaviyo_sync_runs",
        "app.promo_code_targets",
        "app.promo_code_target_changes",
        "app.creators",
        "app.sample_creator_links",
        "app.sample_decisions",
        "app.rfm_settings",
        "marts.customer_facts",
        "marts.sample_orders",
        "marts.rfm_segment_transitions",
    }
    # Every table in which the person occurs is in the file.
    places = {place.rpartition(".")[0] for place in found(superuser, rf"\m{person}\M", EMAIL)}
    assert places - {"app.runs", "shopify.rejected_rows"} <= set(held)
    # Only their data, and nothing about them in the receipt.
    assert "landed_xid" not in json.dumps(held)
    others = [c.email for c in store.data.customers if c.email and c.email != EMAIL]
    others.append("another@example.org")
    assert not any(email in json.dumps(held) for email in others)
    assert receipt["kind"] == "data_request"
    assert receipt["counts"]["shopify.orders"] == len(held["shopify.orders"])
    assert person not in json.dumps(receipt)
    assert EMAIL not in str(superuser.execute("select * from app.privacy_exports").fetchall())
    assert {event["state"] for event in events(pool, everywhere)} == {"done"}


def test_an_export_expires(
    here: Settings,
    url: str,
    pool: Pool,
    tenant: UUID,
    store: Store,
    person: str,
    superuser: Connection,
) -> None:
    post_webhook(
        url, store.data.domain, "customers/data_request", {"customer": {"id": int(person)}}
    )
    run_privacy_jobs(here, pool, tenant)
    with running_app(here) as app:
        client = client_of(app, here, tenant)
        (listed,) = client.get("/api/admin/privacy/exports").get_json()["data"]
        superuser.execute("update app.privacy_exports set expires_at = now()")
        address = f"/api/admin/privacy/exports/{listed['export_id']}"
        assert client.get(address).status_code == 404
        assert client.get("/api/admin/privacy/exports").get_json()["data"] == []
    Worker(here, pool).housekeep(str(tenant))
    assert superuser.execute("select * from app.privacy_exports").fetchall() == []


def test_another_tenant_cannot_download_an_export(
    here: Settings, url: str, pool: Pool, tenant: UUID, store: Store, person: str
) -> None:
    post_webhook(
        url, store.data.domain, "customers/data_request", {"customer": {"id": int(person)}}
    )
    run_privacy_jobs(here, pool, tenant)
    with connect_as_owner(here) as owner:
        other = add_tenant(owner, "other", None)
        row = owner.execute("select export_id from app.privacy_exports").fetchone()
    assert row is not None
    with running_app(here) as app:
        client = client_of(app, here, other)
        assert client.get(f"/api/admin/privacy/exports/{row['export_id']}").status_code == 404
        assert client.get("/api/admin/privacy/receipts").get_json()["data"] == []


# -- erasure of a person ------------------------------------------------------------------------


def test_an_erased_person_is_in_no_table_and_no_load_brings_them_back(
    here: Settings,
    url: str,
    pool: Pool,
    everywhere: UUID,
    store: Store,
    shop: Sandbox,
    person: str,
    orders: list[str],
    superuser: Connection,
) -> None:
    add_to_remaining_tables(superuser, everywhere, person)
    before = found(superuser, *traces(person))
    held_in = {place.rpartition(".")[0] for place in before}
    assert held_in >= {
        "shopify.rejected_rows",
        "shopify.rereads",
        "app.creators",
        "app.creator_aliases",
        "app.runs",
        "app.rfm_settings",
        "marts.creators",
    }
    # This fails for a new table that the test does not fill.
    assert tables_naming_customers(superuser) - held_in == set()
    totals = superuser.execute(
        "select count(*) as orders, sum(total_minor) as total from shopify.orders"
    ).fetchone()
    # Webhooks about them are queued and quarantined, and an export exists.
    post_webhook(url, store.data.domain, "customers/update", {"id": int(person)})
    post_webhook(url, store.data.domain, "orders/updated", {"id": int(orders[0])})
    post_webhook(url, store.data.domain, "customers/create", {"email": EMAIL, "name": NAME})
    post_webhook(
        url, store.data.domain, "customers/data_request", {"customer": {"id": int(person)}}
    )
    run_privacy_jobs(here, pool, everywhere)
    payload = redact_payload(store, person, orders[:1])
    store.redact_customer(int(person))
    assert post_webhook(url, store.data.domain, "customers/redact", payload).status_code == 200
    worker = Worker(here, pool)
    worker.privacy(str(everywhere), events(pool, everywhere)[-1]["webhook_id"])

    assert found(superuser, *traces(person)) == {}
    assert {event["state"] for event in events(pool, everywhere)} == {"done"}
    assert superuser.execute("select * from app.privacy_exports").fetchall() == []
    assert (
        superuser.execute(
            "select count(*) as orders, sum(total_minor) as total from shopify.orders"
        ).fetchone()
        == totals
    )
    receipt = receipts(here)[-1]
    assert receipt["kind"] == "customer_redact"
    assert receipt["counts"]["shopify.customers"] == 1
    assert receipt["counts"]["app.creators"] == 2
    assert receipt["counts"]["klaviyo.profiles"] == 1
    (account,) = shop.accounts.values()
    assert account.profile_by_email(EMAIL) is None
    paths = [request.path for request in shop.klaviyo_requests()]
    assert "/api/data-privacy-deletion-jobs" in paths

    # Webhooks, a complete sync, an imported file, incremental and full builds.
    post_webhook(url, store.data.domain, "customers/update", {"id": int(person)})
    for order in orders:
        post_webhook(url, store.data.domain, "orders/updated", {"id": int(order)})
    segment = next(iter(store.segments))
    member = {"customer_id": int(person), "segment_id": segment}
    post_webhook(url, store.data.domain, "customer.joined_segment", member)
    worker.webhooks(str(everywhere))
    assert {event["state"] for event in events(pool, everywhere)} == {"done"}
    superuser.execute("delete from shopify.sync_watermarks")
    sync_shopify(here, pool, everywhere, NullProgress())
    lines = [
        "order_id,customer_id,processed_at,total,customer_email,customer_name",
        f"{orders[0]},{person},2026-06-01,10,{EMAIL},{NAME}",
        f"old-1,{person},2025-06-01,10,{EMAIL},{NAME}",
        f"old-2,{person},no day,10,{EMAIL},{NAME}",
        "old-3,else,2025-06-01,10,else@example.com,Else",
    ]
    import_orders(pool, everywhere, lines_of(lines), NullProgress())
    assert found(superuser, *traces(person)) == {}
    build(here, as_of=AS_OF.isoformat(), quiet=True)
    assert found(superuser, *traces(person)) == {}
    build(here, as_of=AS_OF.isoformat(), full_refresh=True, quiet=True)
    assert found(superuser, *traces(person)) == {}
    kept = superuser.execute(
        "select customer_id, customer_email from shopify.orders where order_id = 'old-3'"
    ).fetchone()
    assert kept == {"customer_id": "else", "customer_email": "else@example.com"}


def lines_of(lines: list[str]) -> Any:
    import io

    return io.StringIO("\n".join(lines) + "\n", newline="")


def test_orders_of_an_erased_person_keep_their_amounts(
    here: Settings,
    url: str,
    pool: Pool,
    tenant: UUID,
    store: Store,
    person: str,
    orders: list[str],
    superuser: Connection,
) -> None:
    store.redact_customer(int(person))
    post_webhook(url, store.data.domain, "customers/redact", redact_payload(store, person, orders))
    run_privacy_jobs(here, pool, tenant)
    rows = superuser.execute(
        "select * from shopify.orders where order_id = any(%s)", [orders]
    ).fetchall()
    assert len(rows) == len(orders)
    for row in rows:
        order = next(o for o in store.data.orders if str(o.number) == row["order_id"])
        assert row["total_minor"] == order.total
        assert row["refunded_minor"] == order.refunded
        assert row["customer_id"] is row["customer_email"] is row["customer_name"] is None
        assert row["order_number"] is row["note"] is None
        assert (row["tags"], row["line_items"], row["former_customer_ids"]) == ([], [], [])


def test_erasure_changes_no_other_person(
    here: Settings,
    url: str,
    pool: Pool,
    tenant: UUID,
    store: Store,
    person: str,
    orders: list[str],
    superuser: Connection,
) -> None:
    """Also not one with the same address, or with the same ids at another tenant."""
    with connect_as_owner(here) as owner:
        other = add_tenant(owner, "other", None)
    with tenant_transaction(pool, other) as conn:
        conn.execute(
            "insert into shopify.customers (tenant_id, customer_id, email, display_name)"
            " values (%s, %s, %s, %s)",
            [other, person, EMAIL, NAME],
        )
    with tenant_transaction(pool, tenant) as conn:
        conn.execute(
            "insert into shopify.customers (tenant_id, customer_id, email) values (%s, 'twin', %s)",
            [tenant, EMAIL],
        )
        conn.execute(
            "insert into shopify.orders (tenant_id, order_id, customer_id, customer_email,"
            " processed_at, currency, total_minor, subtotal_minor, source)"
            " values (%s, 'twins', 'twin', %s, now(), 'EUR', 1, 1, 'csv')",
            [tenant, EMAIL],
        )
    untouched = (
        "select o.tenant_id, o.order_id, o.landed_xid::text from shopify.orders as o"
        " where o.order_id <> all(%s) order by 1, 2"
    )
    before = superuser.execute(untouched, [orders]).fetchall()  # type: ignore[call-overload]
    store.redact_customer(int(person))
    post_webhook(url, store.data.domain, "customers/redact", redact_payload(store, person, orders))
    run_privacy_jobs(here, pool, tenant)
    assert superuser.execute(untouched, [orders]).fetchall() == before  # type: ignore[call-overload]
    rows = superuser.execute(
        "select customer_id from shopify.customers where email = %s", [EMAIL]
    ).fetchall()
    assert {row["customer_id"] for row in rows} == {person, "twin"}
    with tenant_transaction(pool, other) as conn:
        row = conn.execute("select display_name from shopify.customers").fetchone()
    assert row == {"display_name": NAME}


def test_a_request_about_an_unknown_person_gets_a_receipt(
    here: Settings, url: str, pool: Pool, tenant: UUID, store: Store
) -> None:
    for topic, orders in (
        ("customers/redact", "orders_to_redact"),
        ("customers/data_request", "orders_requested"),
    ):
        payload = {"customer": {"id": 424242}, orders: []}
        post_webhook(url, store.data.domain, topic, payload)
    run_privacy_jobs(here, pool, tenant)
    assert [(r["kind"], r["counts"]) for r in receipts(here)] == [
        ("customer_redact", {}),
        ("data_request", {}),
    ]


def test_a_duplicate_request_is_fulfilled_once(
    here: Settings, url: str, pool: Pool, tenant: UUID, store: Store, person: str
) -> None:
    store.redact_customer(int(person))
    for _ in range(2):
        post_webhook(
            url,
            store.data.domain,
            "customers/redact",
            {"customer": {"id": int(person)}},
            webhook_id="once",
        )
    Worker(here, pool).privacy(str(tenant), "once")
    Worker(here, pool).privacy(str(tenant), "once")
    assert len(receipts(here)) == 1


def test_erasure_waits_for_a_running_build(
    here: Settings, url: str, pool: Pool, tenant: UUID, store: Store, person: str
) -> None:
    store.redact_customer(int(person))
    post_webhook(
        url,
        store.data.domain,
        "customers/redact",
        {"customer": {"id": int(person)}},
        webhook_id="w",
    )
    with ThreadPoolExecutor(max_workers=1) as executor:
        with (
            connect(transform_url(here)) as conn,
            advisory_lock(conn, "build", lambda _: None),
        ):
            erasing = executor.submit(Worker(here, pool).privacy, str(tenant), "w")
            while True:
                blocked = conn.execute(
                    "select count(*) as n from pg_stat_activity"
                    " where datname = current_database() and wait_event = 'advisory'"
                ).fetchone()
                if blocked is not None and blocked["n"]:
                    break
            assert receipts(here) == []
        erasing.result()
    assert len(receipts(here)) == 1


# Holds a build after it has read the rows of customer_facts and before it writes them.
HOLD_FACTS = """
    create function public.hold_facts() returns event_trigger
    language plpgsql as $$
    begin
        if exists (
            select from pg_event_trigger_ddl_commands() as c
            where c.object_identity like 'pg_temp.customer_facts%'
        ) then
            perform pg_advisory_xact_lock_shared(1);
        end if;
    end
    $$;
    create event trigger hold_facts on ddl_command_end
    when tag in ('CREATE TABLE AS') execute function public.hold_facts()
"""


def test_a_person_who_is_erased_during_a_plain_build_does_not_come_back(
    here: Settings,
    url: str,
    pool: Pool,
    tenant: UUID,
    store: Store,
    person: str,
    superuser: Connection,
    tmp_path: Path,
) -> None:
    """It has no lock of the tenant, and an order without its customer calls for no later build."""
    models = ["int_windows_built_for_rfm", "int_customers_touched", "customer_facts"]
    variables = json.dumps({"as_of": AS_OF.isoformat()})
    plain = ("run", "--select", *models, "--vars", variables)
    dbt(here.database_url, tmp_path, *plain)
    facts = "select count(*) as n from marts.customer_facts where customer_id = %s"
    assert superuser.execute(facts, [person]).fetchone() == {"n": 1}
    store.redact_customer(int(person))
    payload = {"customer": {"id": int(person)}}
    post_webhook(url, store.data.domain, "customers/redact", payload, webhook_id="w")
    superuser.execute("update shopify.customers set landed_xid = default")
    superuser.execute(HOLD_FACTS)

    def waiting() -> int:
        row = superuser.execute(
            "select count(*) as n from pg_stat_activity"
            " where datname = current_database() and wait_event = 'advisory'"
        ).fetchone()
        return int(one(row)["n"])

    with ThreadPoolExecutor(max_workers=2) as executor:
        with connect(here.database_url) as holder, holder.transaction():
            holder.execute("select pg_advisory_xact_lock(1)")
            building = executor.submit(dbt, here.database_url, tmp_path, *plain)
            while waiting() < 1:
                assert not building.done(), building.result()
                time.sleep(0.05)
            erasing = executor.submit(Worker(here, pool).privacy, str(tenant), "w")
            while waiting() < 2 and not erasing.done():
                time.sleep(0.05)
        building.result()
        erasing.result()
    assert len(receipts(here)) == 1
    assert superuser.execute(facts, [person]).fetchone() == {"n": 0}
    assert found(superuser, *traces(person)) == {}
    superuser.execute("drop event trigger hold_facts")
    dbt(here.database_url, tmp_path, *plain)
    assert superuser.execute(facts, [person]).fetchone() == {"n": 0}


def test_a_request_that_klaviyo_refuses_is_quarantined_and_can_be_retried(
    here: Settings,
    url: str,
    pool: Pool,
    everywhere: UUID,
    store: Store,
    shop: Sandbox,
    person: str,
    superuser: Connection,
) -> None:
    store.redact_customer(int(person))
    post_webhook(
        url,
        store.data.domain,
        "customers/redact",
        redact_payload(store, person, []),
        webhook_id="w",
    )
    shop.fail_klaviyo(Fault(status=403, path="data-privacy", count=2))
    with stamina.set_testing(True, attempts=2):
        Worker(here, pool).privacy(str(everywhere), "w")
    (event,) = events(pool, everywhere)
    assert event["state"] == "set_aside"
    assert "data-privacy:write" in event["advice"]
    assert receipts(here) == []
    # Only what is needed to continue is left of them.
    assert set(found(superuser, *traces(person))) == {
        "app.webhook_events.notice",
        "app.webhook_events.subject",
    }
    quintile_process(here, "webhooks", "retry", "--tenant", "kessel", "--id", "w")
    Worker(here, pool).privacy(str(everywhere), "w")
    assert found(superuser, *traces(person)) == {}
    (receipt,) = receipts(here)
    assert receipt["counts"]["shopify.customers"] == 1
    assert receipt["counts"]["klaviyo.profiles"] == 1


@pytest.mark.parametrize("kind", ["klaviyo_sync", "metafields_sync"])
def test_erasure_is_postponed_during_a_run_that_sends_people_elsewhere(
    here: Settings,
    url: str,
    pool: Pool,
    tenant: UUID,
    store: Store,
    person: str,
    superuser: Connection,
    kind: Enqueueable,
) -> None:
    with tenant_transaction(pool, tenant) as conn:
        run = enqueue(conn, tenant, kind)
        conn.execute(
            "update app.runs set state = 'running', heartbeat_at = now() where run_id = %s",
            [run["run_id"]],
        )
    store.redact_customer(int(person))
    post_webhook(
        url,
        store.data.domain,
        "customers/redact",
        {"customer": {"id": int(person)}},
        webhook_id="w",
    )
    Worker(here, pool).privacy(str(tenant), "w")
    (event,) = events(pool, tenant)
    assert (event["state"], event["attempts"]) == ("queued", 1)
    superuser.execute("update app.runs set state = 'failed', finished_at = now()")
    Worker(here, pool).privacy(str(tenant), "w")
    assert len(receipts(here)) == 1


# -- erasure of a tenant ------------------------------------------------------------------------


def test_shop_redact_leaves_only_a_receipt(
    here: Settings,
    url: str,
    pool: Pool,
    everywhere: UUID,
    store: Store,
    person: str,
    superuser: Connection,
) -> None:
    with connect_as_owner(here) as owner:
        other = add_tenant(owner, "other", None)
    with tenant_transaction(pool, other) as conn:
        enqueue(conn, other, "build")
    with tenant_transaction(pool, everywhere) as conn:
        enqueue(conn, everywhere, "shopify_sync")
    store.uninstall()
    remove_app(here, pool, url, store, everywhere)
    two_days_later(superuser)
    post_webhook(
        url,
        store.data.domain,
        "shop/redact",
        {"shop_id": 1, "shop_domain": store.data.domain},
        webhook_id="the-last",
    )
    Worker(here, pool).privacy(str(everywhere), "the-last")
    assert set(found(superuser, str(everywhere), *traces(person), store.data.domain)) == {
        "app.privacy_receipts.tenant_id"
    }
    (receipt,) = [r for r in receipts(here) if r["kind"] == "shop_redact"]
    assert receipt["counts"]["shopify.orders"] == len(store.data.orders)
    assert receipt["counts"]["marts.customer_facts"] > 0
    assert superuser.execute("select name from app.tenants").fetchall() == [{"name": "other"}]
    jobs = superuser.execute("select args from jobs.procrastinate_jobs").fetchall()
    assert {job["args"]["tenant_id"] for job in jobs} == {str(other)}
    # Shopify may send it again, when nothing is left to erase.
    for topic in ("shop/redact", "customers/redact"):
        payload = {"shop_domain": store.data.domain, "customer": {"id": 1}}
        assert post_webhook(url, store.data.domain, topic, payload).status_code == 200
    listed = quintile_process(here, "privacy", "receipts").stdout.splitlines()
    assert json.loads(listed[-1])["tenant_id"] == str(everywhere)


def remove_app(here: Settings, pool: Pool, url: str, store: Store, tenant_id: UUID) -> None:
    """Receive and process the webhook about the app's removal."""
    payload = {"id": 1, "myshopify_domain": store.data.domain}
    post_webhook(url, store.data.domain, "app/uninstalled", payload)
    with stamina.set_testing(True, attempts=1):
        work_until_settled(partial(Worker(here, pool).webhooks, str(tenant_id)), pool, tenant_id)


def two_days_later(superuser: Connection) -> None:
    """Move the connections' times into the past."""
    superuser.execute(
        "update app.connections set connected_at = connected_at - interval '3 days',"
        " uninstalled_at = uninstalled_at - interval '2 days'"
    )


def redact_shop(here: Settings, pool: Pool, url: str, store: Store, tenant_id: UUID) -> Any:
    """Receive and process the request to erase the shop; the webhook as it is stored then."""
    payload = {"shop_id": 1, "shop_domain": store.data.domain}
    post_webhook(url, store.data.domain, "shop/redact", payload, webhook_id="w")
    Worker(here, pool).privacy(str(tenant_id), "w")
    stored = events(pool, tenant_id)
    return stored[-1] if stored else None


def test_a_store_that_was_connected_again_is_not_erased(
    here: Settings, url: str, pool: Pool, tenant: UUID, store: Store
) -> None:
    event = redact_shop(here, pool, url, store, tenant)
    assert event["state"] == "set_aside"
    assert "connected again" in event["reason"]
    assert "tenants erase" in event["advice"]
    with tenant_transaction(pool, tenant) as conn:
        row = conn.execute("select count(*) as n from shopify.orders").fetchone()
    assert row == {"n": len(store.data.orders)}


@pytest.mark.parametrize(
    "removal", ["not told", "by a person"], ids=lambda text: text.replace(" ", "-")
)
def test_shop_redact_is_held_unless_the_removal_was_confirmed_a_day_ago(
    here: Settings,
    url: str,
    pool: Pool,
    tenant: UUID,
    store: Store,
    superuser: Connection,
    removal: str,
) -> None:
    two_days_later(superuser)
    if removal == "by a person":
        with tenant_transaction(pool, tenant) as conn:
            disconnect(conn, tenant, "shopify", "A person disconnected it.")
    event = redact_shop(here, pool, url, store, tenant)
    assert (event["state"], event["finished_at"]) == ("held", None)
    assert "removed" in event["reason"]
    assert superuser.execute("select name from app.tenants").fetchall() == [{"name": "kessel"}]

    quintile_process(here, "webhooks", "confirm", "--tenant", "kessel", "--id", "w")
    Worker(here, pool).privacy(str(tenant), "w")
    assert superuser.execute("select name from app.tenants").fetchall() == []


@pytest.mark.parametrize("is_told", [True, False])
def test_shop_redact_waits_for_a_day_after_the_removal(
    here: Settings,
    url: str,
    pool: Pool,
    tenant: UUID,
    store: Store,
    superuser: Connection,
    is_told: bool,
) -> None:
    """Also if the webhook about the removal was lost: the store is then asked."""
    two_days_later(superuser)
    store.uninstall()
    if is_told:
        remove_app(here, pool, url, store, tenant)
    with stamina.set_testing(True, attempts=1):
        redact_shop(here, pool, url, store, tenant)
        for _ in range(3):
            Worker(here, pool).privacy(str(tenant), "w")
    event = events(pool, tenant)[-1]
    assert event["state"] == "queued"
    assert "less than a day ago" in event["reason"]
    two_days_later(superuser)
    Worker(here, pool).privacy(str(tenant), "w")
    assert superuser.execute("select name from app.tenants").fetchall() == []


def test_what_is_built_is_exported_and_erased_of_one_tenant_only(built_settings: Settings) -> None:
    """Both tenants have a customer, an order and a creator with the same ids and address."""
    creator = uuid4()
    with connect_as_owner(built_settings) as owner:
        tenants = [add_tenant(owner, name) for name in ("north", "south")]
    for tenant_id in tenants:
        add_scored_customers(built_settings, tenant_id, [("1", "champions", "10.00")])
        add_samples(built_settings, tenant_id, [{"order_id": "1", "creator_id": creator}])
    person = {
        "customer_ids": ["1"],
        "order_ids": ["1"],
        "emails": ["c1@example.com", "ada@example.com"],
        "creator_ids": [str(creator)],
    }
    with (
        connect(transform_url(built_settings)) as conn,
        connect(built_settings.database_url) as superuser,
    ):
        here, there = tenants
        kept = digests(superuser, there)
        about = person | {"tenant_id": here}
        found = one(conn.execute(query("privacy.rows_built"), about).fetchone())["built"]
        assert {name: len(rows) for name, rows in found.items()} == {
            "marts.customer_facts": 1,
            "marts.sample_orders": 1,
        }
        conn.execute(query("privacy.erase_built"), about)
        assert "marts.customer_facts" not in digests(superuser, here)
        assert digests(superuser, there) == kept
        conn.execute("select app.erase_built_rows_of_tenant(%s)", [here])
        assert not [name for name in digests(superuser, here) if name.startswith("marts.")]
        assert digests(superuser, there) == kept


def test_the_web_service_cannot_erase_a_tenant(pool: Pool, tenant: UUID) -> None:
    import psycopg

    with (
        pytest.raises(psycopg.errors.InsufficientPrivilege),
        tenant_transaction(pool, tenant) as conn,
    ):
        conn.execute("delete from app.tenants")


# -- commands -----------------------------------------------------------------------------------


def test_an_operator_exports_and_erases_by_command(
    here: Settings, pool: Pool, tenant: UUID, store: Store, person: str, superuser: Connection
) -> None:
    arguments = ("--tenant", "kessel", "--customer", person)
    document = json.loads(quintile(here, "privacy", "export", *arguments).stdout)
    assert document["held"]["shopify.customers"][0]["email"] == EMAIL
    exports = quintile_process(here, "privacy", "exports", "--tenant", "kessel")
    (listed,) = exports.stdout.splitlines()
    again = quintile_process(
        here, "privacy", "export", "--tenant", "kessel", "--id", json.loads(listed)["export_id"]
    )
    assert json.loads(again.stdout) == document

    refused = quintile(here, "privacy", "redact", *arguments, expect=1)
    assert f"--confirm {person}" in refused.stderr
    wrong = quintile(here, "privacy", "redact", *arguments, "--confirm", "1", expect=1)
    assert "nothing was erased" in wrong.stderr
    assert found(superuser, EMAIL)
    quintile_process(here, "privacy", "redact", *arguments, "--confirm", person)
    assert found(superuser, *traces(person)) == {}

    quintile(here, "tenants", "erase", "kessel", expect=1)
    quintile_process(here, "tenants", "erase", "kessel", "--confirm", "kessel")
    assert superuser.execute("select name from app.tenants").fetchall() == []
    kinds = [
        json.loads(line)["kind"]
        for line in quintile(here, "privacy", "receipts").stdout.splitlines()
    ]
    assert kinds == ["data_request", "customer_redact", "shop_redact"]


PHONE_FILE = """order_id,customer_id,customer_name,customer_phone,processed_at,total
1,,Nadira Quasem,+880 1712-345678,2026-01-01,10
2,,Nadira Quasem,01712 345678,2026-01-02,20
3,,Nadira Quasem,01712-345678,never,30
4,,Bo,+8801712345679,2026-01-02,20
"""


def test_a_customer_whom_only_a_phone_number_identifies_is_exported_and_erased(
    here: Settings, pool: Pool, tenant: UUID, superuser: Connection
) -> None:
    quintile(here, "tenants", "set", "kessel", "--country", "BD")

    def load() -> None:
        import_orders(pool, tenant, io.StringIO(PHONE_FILE, newline=""), NullProgress())

    load()
    build(here, as_of=AS_OF.isoformat(), quiet=True)
    arguments = ("--tenant", "kessel", "--phone", "01712345678")
    document = json.loads(quintile_process(here, "privacy", "export", *arguments).stdout)
    assert document["phone_numbers"] == ["+8801712345678"]
    assert [row["order_id"] for row in document["held"]["shopify.orders"]] == ["1", "2"]
    assert [row["source_id"] for row in document["held"]["shopify.rejected_rows"]] == ["3"]
    (facts,) = document["held"]["marts.customer_facts"]
    assert facts["lifetime_order_count"] == 2

    quintile_process(here, "privacy", "redact", *arguments, "--confirm", "01712345678")
    assert found(superuser, "Quasem", "712.?345678", facts["customer_id"]) == {}
    load()
    with tenant_transaction(pool, tenant) as conn:
        rows = conn.execute(
            "select order_id, customer_id, customer_phone, total_minor from shopify.orders"
            " where source = 'csv' order by order_id"
        ).fetchall()
    erased = {"customer_id": None, "customer_phone": None}
    assert rows[:2] == [
        {"order_id": "1", **erased, "total_minor": 1000},
        {"order_id": "2", **erased, "total_minor": 2000},
    ]
    assert rows[2]["customer_phone"] == "+8801712345679"

    refused = quintile(here, "privacy", "export", "--tenant", "kessel", "--phone", "?", expect=1)
    assert "'?' is not a phone number" in refused.stderr
