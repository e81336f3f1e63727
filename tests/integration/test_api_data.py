"""Responses of the API for small data sets."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import pytest
from flask.testing import FlaskClient

from service.core.config import Settings
from service.core.db import connect, connect_as_owner, transform_url
from service.tenants.tenants import add_tenant
from tests.web import (
    CALCULATED_AT,
    add_explanations,
    add_samples,
    add_scored_customers,
    add_shopify_segments,
)


@pytest.fixture
def settings(built_settings: Settings) -> Settings:
    return built_settings


@pytest.fixture
def tenant(settings: Settings) -> UUID:
    with connect_as_owner(settings) as conn:
        return add_tenant(conn, "north", "north.myshopify.com")


def walk(client: FlaskClient, path: str, key: str) -> list[str]:
    """Every row's key, read page by page; no page is empty or too long."""
    keys: list[str] = []
    cursor = None
    while True:
        query = {"limit": "2"} | ({"cursor": cursor} if cursor else {})
        answer = client.get(path, query_string=query).get_json()
        assert 0 < len(answer["data"]) <= 2
        keys += [row[key] for row in answer["data"]]
        cursor = answer["next_cursor"]
        if cursor is None:
            return keys


def test_me_returns_the_tenant(client: FlaskClient, tenant: UUID) -> None:
    answer = client.get("/api/admin/me").get_json()
    assert answer.pop("actor").startswith("API token tests …")
    assert answer == {
        "tenant_id": str(tenant),
        "name": "north",
        "shop_domain": "north.myshopify.com",
        "currency": None,
        "time_zone": "UTC",
        "is_shopify_connected": False,
        "last_synced_at": None,
        "last_built_at": None,
        "scope": "admin",
        "order_limit": None,
    }


def test_shopify_segments_are_sorted_by_name_without_case(
    client: FlaskClient, settings: Settings, tenant: UUID
) -> None:
    names = ["beta", "Alpha", "alpha", "Ümlaut", "gamma"]
    add_shopify_segments(settings, tenant, names)
    answer = client.get("/api/admin/segments/shopify").get_json()
    assert [row["name"] for row in answer["data"]][:4] == ["Alpha", "alpha", "beta", "gamma"]
    assert answer["as_of"] == "2026-07-01T00:00:00Z"
    assert (answer["segments"], answer["unread"]) == (5, 0)
    # No store is connected, which is why nothing is due.
    assert (answer["next_sync_at"], answer["schedule_state"]) == (None, "not_connected")
    assert answer["data"][0] == {
        "id": "2",
        "name": "Alpha",
        "query": "number_of_orders > 1",
        "member_count": 7,
        "synced_at": "2026-07-01T00:00:00Z",
        "gone_at": None,
    }
    assert walk(client, "/api/admin/segments/shopify", "name") == [
        row["name"] for row in answer["data"]
    ]


def test_a_search_takes_percent_and_underscore_literally(
    client: FlaskClient, settings: Settings, tenant: UUID
) -> None:
    add_shopify_segments(
        settings, tenant, ["100% cotton", "100 cotton", "a_b", "aXb", r"back\slash"]
    )

    def found(q: str) -> list[str]:
        answer = client.get("/api/admin/segments/shopify", query_string={"q": q}).get_json()
        return [row["name"] for row in answer["data"]]

    assert found("100%") == ["100% cotton"]
    assert found("A_B") == ["a_b"]
    assert found("\\") == [r"back\slash"]
    assert found("'; drop table") == []


def test_the_rfm_summary_has_all_six_segments_in_order_and_adds_up(
    client: FlaskClient, settings: Settings, tenant: UUID
) -> None:
    add_scored_customers(
        settings,
        tenant,
        [
            ("1", "champions", "60.00"),
            ("2", "champions", "15.50"),
            ("3", "at_risk", "20.00"),
            ("4", "hibernating", "4.50"),
        ],
    )
    answer = client.get("/api/admin/segments/rfm").get_json()
    assert [(row["segment"], row["customers"], row["share"]) for row in answer["data"]] == [
        ("champions", 2, 0.5),
        ("loyal", 0, 0),
        ("new", 0, 0),
        ("at_risk", 1, 0.25),
        ("hibernating", 1, 0.25),
        ("potential", 0, 0),
    ]
    champions = answer["data"][0]
    assert (champions["revenue"], champions["revenue_share"]) == ("75.50", 0.755)
    assert (answer["customers"], answer["revenue"], answer["currency"]) == (4, "100.00", "EUR")
    assert answer["calculated_at"] == "2026-07-01T00:00:00Z"
    assert answer["next_build_at"].endswith("T03:00:00Z")


def test_without_customers_the_summary_is_six_zeros(client: FlaskClient) -> None:
    answer = client.get("/api/admin/segments/rfm").get_json()
    assert len(answer["data"]) == 6
    assert {row["customers"] for row in answer["data"]} == {0}
    assert (answer["customers"], answer["calculated_at"]) == (0, None)


def test_customers_are_sorted_by_spend_and_ties_are_paged_once(
    client: FlaskClient, settings: Settings, tenant: UUID
) -> None:
    add_scored_customers(
        settings,
        tenant,
        [(str(number), "loyal", "10.00") for number in range(1, 6)] + [("9", "new", "10.01")],
    )
    ids = walk(client, "/api/admin/segments/rfm/customers", "customer_id")
    assert ids == ["9", "5", "4", "3", "2", "1"]
    chosen = client.get("/api/admin/segments/rfm/customers?segment=new").get_json()
    assert chosen["next_cursor"] is None
    assert chosen["data"] == [
        {
            "customer_id": "9",
            "email": "c9@example.com",
            "phone": None,
            "segment": "new",
            "r_score": 5,
            "f_score": 5,
            "m_score": 5,
            "r_reason": "3 days since the last order: fewer than 20 % of customers ordered later",
            "f_reason": "2 orders: more than 80 % of customers",
            "m_reason": "10.01 EUR: more than 80 % of customers",
            "recency_days": 3,
            "frequency_count": 2,
            "monetary_total": "10.01",
            "currency": "EUR",
            "previous_segment": None,
            "segment_changed_on": "2026-07-01",
            "last_order_at": "2026-06-28T00:00:00Z",
        }
    ]


def test_customers_are_found_by_part_of_the_address_or_by_the_whole_id(
    client: FlaskClient, settings: Settings, tenant: UUID
) -> None:
    add_scored_customers(settings, tenant, [("17", "new", "1"), ("170", "new", "1")])

    def found(q: str) -> list[str]:
        path = "/api/admin/segments/rfm/customers"
        answer = client.get(path, query_string={"q": q}).get_json()
        return [row["customer_id"] for row in answer["data"]]

    assert found("C170@EXAMPLE") == ["170"]
    assert found("17") == ["170", "17"]
    assert found("7") == ["170", "17"]
    assert found("nobody") == []


def test_samples_are_listed_newest_first_with_evidence(
    client: FlaskClient, settings: Settings, tenant: UUID
) -> None:
    add_samples(
        settings,
        tenant,
        [
            {"order_id": "1", "ordered_at": CALCULATED_AT - timedelta(days=1)},
            {"order_id": "2", "is_tiktok": True, "matched_patterns": ["tiktok%"]},
            {"order_id": "3", "is_ugc": False, "is_tiktok": True, "status": "fulfilled"},
        ],
    )
    assert walk(client, "/api/admin/samples", "order_id") == ["3", "2", "1"]
    both = client.get("/api/admin/samples").get_json()["data"][1]
    assert both["types"] == ["ugc", "tiktok"]
    assert (both["matched_tags"], both["matched_patterns"]) == (["ugc-sample"], ["tiktok%"])
    assert both["items"] == [{"title": "Serum", "variant_title": None, "sku": "S-1", "quantity": 1}]
    assert (both["goods_value"], both["currency"]) == ("24.90", "EUR")

    def found(**query: str) -> list[str]:
        answer = client.get("/api/admin/samples", query_string=query).get_json()
        return [row["order_id"] for row in answer["data"]]

    assert found(type="ugc") == ["2", "1"]
    assert found(type="tiktok") == ["3", "2"]
    assert found(type="tiktok", status="pending") == ["2"]
    assert found(q="ADA@") == ["3", "2", "1"]
    assert found(q="nobody") == []


def test_sample_stats_are_zero_before_a_build(
    client: FlaskClient, settings: Settings, tenant: UUID
) -> None:
    zero = {"pending": 0, "partial": 0, "fulfilled": 0, "cancelled": 0}
    data = client.get("/api/admin/samples/stats").get_json()["data"]
    assert [row["type"] for row in data] == ["all", "ugc", "tiktok"]
    assert all(row.items() >= (zero | {"total": 0, "goods_value": None}).items() for row in data)
    with connect(transform_url(settings)) as conn:
        conn.execute(
            """
            insert into marts.sample_stats (
                tenant_id, sample_type, samples, pending, partly_fulfilled, fulfilled, cancelled,
                goods_value, currency, median_days_to_fulfil, last_30_days, previous_30_days,
                calculated_at
            )
            values (%s, 'ugc', 7, 1, 2, 3, 1, 12.50, 'EUR', 2.5, 4, 3, %s)
            """,
            [tenant, CALCULATED_AT],
        )
        conn.execute(
            """
            insert into marts.sample_stats_by_month (
                tenant_id, sample_type, ordered_month, samples, pending, partly_fulfilled,
                fulfilled, cancelled, goods_value, currency
            )
            values (%s, 'ugc', '2026-06-01', 7, 1, 2, 3, 1, 12.50, 'EUR')
            """,
            [tenant],
        )
    answer = client.get("/api/admin/samples/stats").get_json()
    counts = {
        "type": "ugc",
        "total": 7,
        "pending": 1,
        "partial": 2,
        "fulfilled": 3,
        "cancelled": 1,
        "goods_value": "12.50",
        "currency": "EUR",
    }
    assert answer["data"][1] == counts | {
        "median_days_to_fulfil": 2.5,
        "last_30_days": 4,
        "previous_30_days": 3,
    }
    assert answer["months"] == [counts | {"month": "2026-06-01"}]


def test_calculating_twice_returns_the_first_run(client: FlaskClient, settings: Settings) -> None:
    first = client.post("/api/admin/segments/rfm/calculate")
    run = first.get_json()
    assert first.status_code == 202
    assert first.headers["Location"] == f"/api/admin/runs/{run['run_id']}"
    assert (run["kind"], run["trigger"], run["state"]) == ("build", "person", "queued")
    assert client.post("/api/admin/segments/rfm/calculate").get_json() == run
    assert client.get(first.headers["Location"]).get_json() == run
    with connect_as_owner(settings) as conn:
        jobs = conn.execute("select args ->> 'run_id' as run_id from jobs.procrastinate_jobs")
        assert [job["run_id"] for job in jobs.fetchall()] == [run["run_id"]]


def test_an_unchanged_run_answers_304(client: FlaskClient, settings: Settings) -> None:
    path = client.post("/api/admin/segments/rfm/calculate").headers["Location"]
    tag = client.get(path).headers["ETag"]
    unchanged = client.get(path, headers={"If-None-Match": tag})
    assert (unchanged.status_code, unchanged.data) == (304, b"")
    with connect_as_owner(settings) as conn:
        conn.execute("update app.runs set state = 'running', started_at = now()")
    changed = client.get(path, headers={"If-None-Match": tag})
    assert (changed.status_code, changed.get_json()["state"]) == (200, "running")


def test_a_sync_of_a_connected_store_is_queued(
    client: FlaskClient, settings: Settings, tenant: UUID
) -> None:
    with connect_as_owner(settings) as conn:
        conn.execute(
            """
            insert into app.connections (tenant_id, provider, sealed_secret, key_id, last_four)
            values (%s, 'shopify', '', 'none', 'none')
            """,
            [tenant],
        )
    response = client.post("/api/admin/segments/shopify/sync")
    assert (response.status_code, response.get_json()["kind"]) == (202, "segments_sync")


def test_runs_are_listed_newest_first_and_filtered_by_kind(
    client: FlaskClient, settings: Settings, tenant: UUID
) -> None:
    with connect_as_owner(settings) as conn, conn.cursor() as cursor:
        cursor.executemany(
            """
            insert into app.runs (tenant_id, kind, trigger, state, created_at, finished_at, counts)
            values (%s, %s, 'cli', 'succeeded', now() + %s, now(), '{"orders": 3}')
            """,
            [
                (tenant, kind, timedelta(minutes=minute))
                for minute, kind in enumerate(["build", "shopify_sync", "build"])
            ],
        )
    assert walk(client, "/api/admin/runs", "kind") == ["build", "shopify_sync", "build"]
    builds = client.get("/api/admin/runs?kind=build").get_json()["data"]
    assert [run["counts"] for run in builds] == [{"orders": 3}] * 2
    assert client.get("/api/admin/me").get_json()["last_built_at"] is not None


def test_the_rfm_page_says_that_nothing_was_calculated(client: FlaskClient) -> None:
    page = client.get("/admin/segments?tab=rfm").text
    assert "Not calculated yet" in page
    assert "data-plot" not in page


def test_the_rfm_page_warns_of_insufficient_data(
    client: FlaskClient, settings: Settings, tenant: UUID
) -> None:
    add_scored_customers(settings, tenant, [("1", "champions", "1")])
    add_explanations(settings, tenant, ("few_customers",), customers=1)
    page = client.get("/admin/segments?tab=rfm").text
    assert "Only 1 customer ordered in the window." in page
