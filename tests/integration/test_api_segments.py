"""The segments of all sources, their members and changes, and customers, on the demo's stores."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest
from flask.testing import FlaskClient
from psycopg import sql

from service.core.config import Settings
from service.core.db import admin_url, connect, connect_as_owner, transform_url
from tests.web import client_of, running_app

PATH = "/api/admin/segments"
STORES = ("northlight-goods", "kessel-und-korn")


@pytest.fixture
def stores(built_demo: Settings) -> dict[str, UUID]:
    with connect(transform_url(built_demo)) as conn:
        rows = conn.execute("select name, tenant_id from app.tenants").fetchall()
    return {row["name"]: row["tenant_id"] for row in rows}


@pytest.fixture
def clients(built_demo: Settings, stores: dict[str, UUID]) -> Iterator[dict[str, FlaskClient]]:
    with running_app(built_demo) as app:
        yield {name: client_of(app, built_demo, tenant) for name, tenant in stores.items()}


@pytest.fixture
def client(clients: dict[str, FlaskClient]) -> FlaskClient:
    return clients[STORES[0]]


@pytest.fixture
def tenant(stores: dict[str, UUID]) -> UUID:
    return stores[STORES[0]]


def rows_of(settings: Settings, statement: str, *parameters: Any) -> list[dict[str, Any]]:
    with connect(transform_url(settings)) as conn:
        return conn.execute(statement, parameters).fetchall()


def change(settings: Settings, statement: str, *parameters: Any) -> None:
    """Change a mart, or a table of the service."""
    opened = (
        connect(transform_url(settings)) if " marts." in statement else connect_as_owner(settings)
    )
    with opened as conn:
        conn.execute(statement, parameters)


def walk(client: FlaskClient, path: str, limit: int = 200, **asked: Any) -> list[dict[str, Any]]:
    """Every row of a list, page by page."""
    rows: list[dict[str, Any]] = []
    cursor: dict[str, str] = {}
    while True:
        query = {"limit": limit, **asked, **cursor}
        response = client.get(path, query_string=query)
        assert response.status_code == 200, response.text
        answer = response.get_json()
        rows += answer["data"]
        if answer["next_cursor"] is None:
            return rows
        assert len(answer["data"]) == limit
        cursor = {"cursor": answer["next_cursor"]}


def feed_list(settings: Settings, tenant: UUID, segment: str) -> None:
    change(
        settings,
        "insert into app.klaviyo_sync_configs (tenant_id, segment_key, list_id, list_name)"
        " values (%s, %s, 'B1', 'Best')",
        tenant,
        segment,
    )


# -- the list -----------------------------------------------------------------------------------


def test_the_list_has_the_segments_of_all_sources(
    client: FlaskClient, built_demo: Settings, tenant: UUID
) -> None:
    rows = walk(client, PATH, limit=4)
    assert [row["name"].lower() for row in rows] == sorted(row["name"].lower() for row in rows)
    assert len({row["id"] for row in rows}) == len(rows)
    by_id = {row["id"]: row for row in rows}
    sizes = rows_of(
        built_demo,
        "select 'rfm:' || segment as id, count(*) as members from marts.customer_facts"
        " where tenant_id = %s and segment is not null group by segment"
        " union all select 'shopify:' || segment_id, member_count from shopify.cached_segments"
        " where tenant_id = %s",
        tenant,
        tenant,
    )
    assert {row["id"]: row["members"] for row in sizes} == {
        key: row["members"] for key, row in by_id.items() if row["source"] != "klaviyo"
    }
    champions = by_id["rfm:champions"]
    assert champions["definition"] == "R 4-5, F 4-5"
    assert champions["lists"] == []
    feed_list(built_demo, tenant, "rfm:champions")
    champions = client.get(f"{PATH}/rfm:champions").get_json()
    assert [fed["list_name"] for fed in champions["lists"]] == ["Best"]
    assert champions["promo_codes"] == []
    for code, wanted in (("VIP20", "active"), ("OLD", "deleted"), ("Early", "deactivated")):
        change(
            built_demo,
            "insert into app.promo_codes"
            " (tenant_id, code, title, percentage, starts_at, segments, wanted)"
            " values (%s, %s, 'Thanks', 0.2, now(), '{rfm:loyal,rfm:champions}', %s)",
            tenant,
            code,
            wanted,
        )
    champions = client.get(f"{PATH}/rfm:champions").get_json()
    assert champions["promo_codes"] == ["Early", "VIP20"]
    assert champions["next_refresh_at"] is not None
    rfm = [row for row in rows if row["source"] == "rfm"]
    assert sum(row["share"] for row in rfm) == pytest.approx(1, abs=0.001)
    shopify = [row for row in rows if row["source"] == "shopify"]
    assert {row["definition"] for row in shopify} == {
        row["query"]
        for row in rows_of(
            built_demo, "select query from shopify.cached_segments where tenant_id = %s", tenant
        )
    }
    # Their share is one of all customers, scored or not.
    (known,) = rows_of(
        built_demo,
        "select count(*) as customers, count(segment) as scored from marts.customer_facts"
        " where tenant_id = %s",
        tenant,
    )
    assert known["scored"] < known["customers"]
    for row in shopify:
        assert row["share"] == pytest.approx(row["members"] / known["customers"], abs=0.0001)


def test_a_build_counts_customers_and_members_once_for_all_requests(
    client: FlaskClient, built_demo: Settings, tenant: UUID
) -> None:
    path = f"{PATH}/rfm:champions/customers"
    before = client.get(path, query_string={"limit": 1}).get_json()["total"]
    for statement in (
        "update marts.rfm_segment_summary set customers = customers + 7"
        " where tenant_id = %s and segment = 'champions'",
        "update marts.rfm_data_quality set known_customers = null where tenant_id = %s",
    ):
        change(built_demo, statement, tenant)
    assert client.get(path, query_string={"limit": 1}).get_json()["total"] == before + 7
    # Filters, and pages that have all members, do not need what the build has counted.
    every = {"limit": 1, "q": "@"}
    assert client.get(path, query_string=every).get_json()["total"] <= before
    # The release before did not count all customers.
    shopify = walk(client, PATH, source="shopify")
    assert {row["share"] for row in shopify} == {None}


@pytest.mark.parametrize("sort", ["members", "change"])
def test_the_list_is_sorted_searched_and_filtered(client: FlaskClient, sort: str) -> None:
    column = {"members": "members", "change": "change_30_days"}[sort]
    values = [row[column] for row in walk(client, PATH, limit=3, sort=sort)]
    known = [value for value in values if value is not None]
    assert values == sorted(known, reverse=True) + [None] * (len(values) - len(known))
    assert {row["source"] for row in walk(client, PATH, source="shopify")} == {"shopify"}
    assert [row["id"] for row in walk(client, PATH, q="champ")] == ["rfm:champions"]
    # A definition is searched, too.
    assert walk(client, PATH, q="number_of_orders")
    cursor = client.get(PATH, query_string={"limit": 1}).get_json()["next_cursor"]
    other = client.get(PATH, query_string={"limit": 1, "sort": sort, "cursor": cursor})
    assert other.get_json()["type"] == "/problems/bad-cursor"


def test_a_change_is_against_the_build_before_and_a_month_ago(
    client: FlaskClient, built_demo: Settings, tenant: UUID
) -> None:
    (newest,) = rows_of(
        built_demo,
        "select recorded_on, customers from marts.rfm_segment_history"
        " where tenant_id = %s and segment = 'loyal' order by recorded_on desc limit 1",
        tenant,
    )
    change(
        built_demo,
        "delete from marts.rfm_segment_history where tenant_id = %s and recorded_on < %s",
        tenant,
        newest["recorded_on"],
    )
    loyal = client.get(f"{PATH}/rfm:loyal").get_json()
    assert (loyal["change"], loyal["change_30_days"]) == (None, None)
    change(
        built_demo,
        "update marts.rfm_segment_summary set previous_customers = customers - 10"
        " where tenant_id = %s and segment = 'loyal'",
        tenant,
    )
    for days, customers in ((1, 10), (29, 20), (30, 30), (31, 40)):
        change(
            built_demo,
            "insert into marts.rfm_segment_history"
            " (tenant_id, recorded_on, segment, customers, revenue, as_of)"
            " values (%s, %s::date - %s, 'loyal', %s, 0, now())",
            tenant,
            newest["recorded_on"],
            days,
            customers,
        )
    loyal = client.get(f"{PATH}/rfm:loyal").get_json()
    now = newest["customers"]
    assert (loyal["members"], loyal["change"], loyal["change_30_days"]) == (now, 10, now - 30)
    sizes = client.get(f"{PATH}/rfm:loyal/sizes").get_json()["data"]
    assert [size["members"] for size in sizes] == [40, 30, 20, 10, now]


def test_sizes_of_shopify_segments_have_a_history(
    client: FlaskClient, built_demo: Settings, tenant: UUID
) -> None:
    segment = walk(client, PATH, source="shopify")[0]
    assert (segment["change"], segment["change_30_days"]) == (None, None)
    change(
        built_demo,
        "update app.segment_sizes set previous_members = members - 5"
        " where tenant_id = %s and segment_id = %s",
        tenant,
        segment["id"],
    )
    for days, members in ((1, 5), (40, 7)):
        change(
            built_demo,
            "insert into app.segment_sizes (tenant_id, segment_id, recorded_on, members)"
            " select tenant_id, segment_id, recorded_on - %s, %s from app.segment_sizes"
            " where tenant_id = %s and segment_id = %s order by recorded_on desc limit 1",
            days,
            members,
            tenant,
            segment["id"],
        )
    again = client.get(f"{PATH}/{segment['id']}").get_json()
    now = segment["members"]
    assert (again["change"], again["change_30_days"]) == (5, now - 7)
    sizes = client.get(f"{PATH}/{segment['id']}/sizes").get_json()["data"]
    assert [size["members"] for size in sizes] == [7, 5, now]


def test_segments_are_listed_before_the_first_build(
    settings: Settings, client_before_builds: FlaskClient
) -> None:
    rows = walk(client_before_builds, PATH)
    assert {row["source"] for row in rows} == {"rfm"}
    assert {row["members"] for row in rows} == {None}
    champions = client_before_builds.get(f"{PATH}/rfm:champions").get_json()
    assert (champions["share"], champions["change"]) == (None, None)
    members = client_before_builds.get(f"{PATH}/rfm:champions/customers")
    assert (members.status_code, members.get_json()["type"]) == (503, "/problems/not-built")


@pytest.fixture
def client_before_builds(settings: Settings, make_tenant: Any) -> Iterator[FlaskClient]:
    tenant = make_tenant("early")
    with running_app(settings) as app:
        yield client_of(app, settings, tenant)


# -- members ------------------------------------------------------------------------------------


def members_in_sql(settings: Settings, tenant: UUID, segment: str) -> set[str]:
    source, key = segment.split(":")
    statement = {
        "rfm": "select customer_id from marts.customer_facts where tenant_id = %s and segment = %s",
        "shopify": "select customer_id from shopify.segment_members"
        " where tenant_id = %s and segment_id = %s",
    }[source]
    return {row["customer_id"] for row in rows_of(settings, statement, tenant, key)}


@pytest.mark.parametrize("source", ["rfm", "shopify"])
def test_members_are_those_of_the_segment_in_every_order(
    clients: dict[str, FlaskClient], built_demo: Settings, stores: dict[str, UUID], source: str
) -> None:
    client, tenant = clients[STORES[1]], stores[STORES[1]]
    segment = walk(client, PATH, source=source, sort="members")[1]["id"]
    expected = members_in_sql(built_demo, tenant, segment)
    assert len(expected) > 20
    path = f"{PATH}/{segment}/customers"
    assert client.get(path).get_json()["total"] == len(expected)
    keys = {
        "id": ("member_id", "", False),
        "spend": ("spent", 0, True),
        "window_spend": ("window_spent", 0, True),
        "orders": ("orders", 0, True),
        "last_order": ("last_order_at", "", True),
        "since": ("in_segment_since", "", True),
        "name": ("name", "\uffff", False),
        "email": ("email", "\uffff", False),
        "marketing_state": ("marketing_state", "\uffff", False),
        "r_score": ("r_score", 0, True),
        "f_score": ("f_score", 0, True),
        "m_score": ("m_score", 0, True),
        "samples": ("samples", 0, True),
    }
    for sort, (column, blank, is_descending) in keys.items():
        rows = walk(client, path, limit=9, sort=sort)
        assert len(rows) == len(expected), sort
        assert {row["member_id"] for row in rows} == expected, sort
        values = [blank if row[column] is None else row[column] for row in rows]
        if sort in ("spend", "window_spend"):
            values = [float(value) for value in values]
        if sort in ("name", "email"):
            values = [value.lower() for value in values]
        assert values == sorted(values, reverse=is_descending), sort


def test_members_are_filtered_by_scores_and_search(
    client: FlaskClient, built_demo: Settings, tenant: UUID
) -> None:
    path = f"{PATH}/rfm:champions/customers"
    rows = walk(client, path)
    some = [row for row in rows if (row["r_score"], row["f_score"], row["m_score"]) == (5, 4, 4)]
    assert 0 < len(some) < len(rows)
    filters = {"r_score": 5, "f_score": 4, "m_score": 4}
    assert walk(client, path, **filters) == some
    assert client.get(path, query_string=filters).get_json()["total"] == len(some)
    one = next(row for row in rows if row["email"])
    for q in (one["email"][2:].upper(), one["customer_id"]):
        found = walk(client, path, q=q)
        assert one["member_id"] in {row["member_id"] for row in found}
        assert len(found) < len(rows)
    assert walk(client, path, q="100%_nobody") == []
    page = client.get(path, query_string={"limit": 1}).get_json()
    second = client.get(path, query_string={"limit": 1, "cursor": page["next_cursor"]})
    assert second.get_json()["total"] is None


@pytest.mark.parametrize("source", ["rfm", "shopify"])
def test_a_search_among_members_counts_what_it_finds(
    client: FlaskClient, built_demo: Settings, tenant: UUID, source: str
) -> None:
    segment = walk(client, PATH, source=source, sort="members")[0]["id"]
    path = f"{PATH}/{segment}/customers"
    rows = walk(client, path)
    expected = [
        row["member_id"]
        for row in rows
        if any("an" in (row[column] or "").lower() for column in ("name", "email"))
    ]
    assert 9 < len(expected) < len(rows)
    assert [row["member_id"] for row in walk(client, path, limit=9, q="AN")] == expected
    for limit in (1, 200):
        for sort in ("id", "name"):
            asked = {"q": "an", "limit": limit, "sort": sort}
            page = client.get(path, query_string=asked).get_json()
            assert page["total"] == len(expected), asked
    by_name = walk(client, path, limit=9, q="an", sort="name")
    assert {row["member_id"] for row in by_name} == set(expected)
    assert client.get(path, query_string={"q": "100%_nobody"}).get_json()["total"] == 0
    # A phone number is the built customer's.
    change(
        built_demo,
        "update marts.customer_facts set phone = '+15550001234'"
        " where tenant_id = %s and customer_id = %s",
        tenant,
        rows[3]["customer_id"],
    )
    found = walk(client, path, q="5550001")
    assert [row["customer_id"] for row in found] == [rows[3]["customer_id"]]


def test_members_come_with_their_figures(
    client: FlaskClient, built_demo: Settings, tenant: UUID
) -> None:
    member = walk(client, f"{PATH}/rfm:loyal/customers")[3]
    (fact,) = rows_of(
        built_demo,
        "select c.*, (select max(t.as_of) from marts.rfm_segment_transitions as t"
        " where t.tenant_id = c.tenant_id and t.customer_id = c.customer_id) as since"
        " from marts.customers as c where tenant_id = %s and customer_id = %s",
        tenant,
        member["customer_id"],
    )
    assert (member["name"], member["email"]) == (fact["display_name"], fact["email"])
    assert member["spent"] == str(fact["lifetime_total"])
    assert member["window_spent"] == str(fact["window_total"])
    assert (member["orders"], member["samples"]) == (
        fact["lifetime_order_count"],
        fact["sample_count"],
    )
    assert member["in_segment_since"][:10] == str(fact["since"].date())
    assert member["profile_id"] is None


@pytest.mark.parametrize("zone", ["America/New_York", "Europe/Berlin"])
def test_pages_are_complete_whatever_the_server_s_time_zone(
    built_demo: Settings, stores: dict[str, UUID], zone: str
) -> None:
    tenant = stores[STORES[1]]
    with connect(admin_url(built_demo)) as conn:
        conn.execute(
            sql.SQL("alter database {} set timezone = {}").format(
                sql.Identifier(conn.info.dbname), zone
            )
        )
    with running_app(built_demo) as app:
        client = client_of(app, built_demo, tenant)
        segment = walk(client, PATH, source="shopify", sort="members")[1]["id"]
        for sort in ("since", "last_order"):
            rows = walk(client, f"{PATH}/{segment}/customers", limit=9, sort=sort)
            ids = {row["member_id"] for row in rows}
            assert ids == members_in_sql(built_demo, tenant, segment)
            assert len(rows) == len(ids)
        assert walk(client, "/api/admin/customers", sort="last_order")
        assert walk(client, f"{PATH}/rfm/excluded-orders")


def test_members_without_a_recorded_change_are_paged_by_since(
    client: FlaskClient, built_demo: Settings, tenant: UUID
) -> None:
    change(
        built_demo,
        "delete from marts.rfm_segment_transitions where tenant_id = %s and to_segment = 'loyal'"
        " and customer_id < (select percentile_disc(0.5) within group (order by customer_id)"
        " from marts.customer_facts where tenant_id = %s and segment = 'loyal')",
        tenant,
        tenant,
    )
    rows = walk(client, f"{PATH}/rfm:loyal/customers", limit=50, sort="since")
    assert {row["member_id"] for row in rows} == members_in_sql(built_demo, tenant, "rfm:loyal")
    assert None in {row["in_segment_since"] for row in rows}


def test_a_time_that_cannot_be_written_in_utc_is_refused(client: FlaskClient) -> None:
    for since in ("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"):
        response = client.get(f"{PATH}/rfm:loyal/changes", query_string={"since": since})
        assert (response.status_code, response.get_json()["errors"][0]["parameter"]) == (
            422,
            "since",
        )


def test_an_excluded_customer_has_no_spend_in_the_window(
    client: FlaskClient, built_demo: Settings, tenant: UUID
) -> None:
    (excluded,) = rows_of(
        built_demo,
        "select f.customer_id, m.segment_id from marts.customer_facts as f"
        " inner join shopify.segment_members as m using (tenant_id, customer_id)"
        " where tenant_id = %s and f.is_excluded_from_rfm limit 1",
        tenant,
    )
    change(
        built_demo,
        "update marts.customer_facts set window_minor = 99999999"
        " where tenant_id = %s and customer_id = %s",
        tenant,
        excluded["customer_id"],
    )
    first = client.get("/api/admin/customers?sort=window_spend&limit=1").get_json()["data"][0]
    assert first["customer_id"] != excluded["customer_id"]
    (member,) = walk(
        client,
        f"{PATH}/shopify:{excluded['segment_id']}/customers",
        q=excluded["customer_id"],
    )
    assert (float(member["window_spent"]), member["window_orders"]) == (0, 0)


def test_members_download_as_csv(client: FlaskClient) -> None:
    asked = {"r_score": 5, "sort": "name"}
    response = client.get(f"{PATH}/rfm:champions/customers.csv", query_string=asked)
    assert response.headers["Content-Disposition"] == "attachment; filename=rfm-champions.csv"
    lines = list(csv.DictReader(io.StringIO(response.text)))
    rows = walk(client, f"{PATH}/rfm:champions/customers", **asked)
    assert [line["customer_id"] for line in lines] == [row["customer_id"] for row in rows]
    assert [line["spent"] for line in lines] == [row["spent"] for row in rows]


def pull_list(settings: Settings, tenant: UUID, emails: list[str]) -> None:
    change(
        settings,
        "insert into app.klaviyo_sync_configs"
        " (tenant_id, segment_key, list_id, list_name, direction)"
        " values (%s, 'klaviyo:L1', 'L1', 'Newsletter', 'pull')",
        tenant,
    )
    change(
        settings,
        "insert into app.klaviyo_lists (tenant_id, list_id, name) values (%s, 'L1', 'Newsletter')",
        tenant,
    )
    for number, email in enumerate(emails):
        change(
            settings,
            "insert into app.klaviyo_list_profiles (tenant_id, list_id, profile_id, email,"
            " joined_at) values (%s, 'L1', %s, %s, now() - make_interval(days => %s))",
            tenant,
            f"P{number}",
            email,
            number,
        )


def test_a_pulled_list_has_profiles_and_their_customers(
    client: FlaskClient, built_demo: Settings, tenant: UUID
) -> None:
    champion = next(row for row in walk(client, f"{PATH}/rfm:champions/customers") if row["email"])
    pull_list(built_demo, tenant, [champion["email"].lower(), "stranger@example.com"])
    listed = client.get(f"{PATH}/klaviyo:L1").get_json()
    assert (listed["name"], listed["source"]) == ("Newsletter", "klaviyo")
    rows = walk(client, f"{PATH}/klaviyo:L1/customers", sort="since")
    assert [(row["profile_id"], row["customer_id"]) for row in rows] == [
        ("P0", champion["customer_id"]),
        ("P1", None),
    ]
    assert rows[0]["rfm_segment"] == "champions"
    assert (rows[1]["orders"], rows[1]["spent"], rows[1]["samples"]) == (None, None, 0)
    overlap = client.get(f"{PATH}/klaviyo:L1/overlap", query_string={"with": "rfm:champions"})
    assert (overlap.get_json()["customers"], overlap.get_json()["both"]) == (1, 1)
    changes = walk(client, f"{PATH}/klaviyo:L1/changes", limit=1)
    assert [(row["customer_id"], row["change"]) for row in changes] == [
        ("P1", "entered"),
        ("P0", "entered"),
    ]
    found = client.get(f"/api/admin/customers/{champion['customer_id']}/segments").get_json()
    assert "klaviyo:L1" in [row["id"] for row in found["data"]]
    # Not after the list was deleted in Klaviyo.
    gone = "update app.klaviyo_lists set gone_at = {} where tenant_id = %s and list_id = 'L1'"
    change(built_demo, gone.format("now()"), tenant)
    found = client.get(f"/api/admin/customers/{champion['customer_id']}/segments").get_json()
    assert "klaviyo:L1" not in [row["id"] for row in found["data"]]
    change(built_demo, gone.format("null"), tenant)
    # Who left, and who came after the first reading, is recorded by syncs.
    for profile, email, minutes, has_entered in (
        ("P0", champion["email"].lower(), 9, True),
        ("P2", "gone@example.com", 5, False),
    ):
        change(
            built_demo,
            "insert into app.klaviyo_list_changes (tenant_id, list_id, profile_id, email,"
            " changed_at, has_entered) values (%s, 'L1', %s, %s, now() - %s * interval '1 minute',"
            " %s)",
            tenant,
            profile,
            email,
            minutes,
            has_entered,
        )
    changes = walk(client, f"{PATH}/klaviyo:L1/changes", limit=1)
    assert [(row["customer_id"], row["change"], row["name"]) for row in changes] == [
        ("P1", "entered", None),
        ("P0", "entered", champion["name"]),
        ("P2", "left", None),
    ]
    # A list that is pulled no longer is no segment, whatever is still known of it.
    change(
        built_demo,
        "update app.klaviyo_sync_configs set direction = 'push', segment_key = 'rfm:champions'"
        " where tenant_id = %s and list_id = 'L1'",
        tenant,
    )
    for path in ("", "/customers", "/customers.csv", "/changes", "/sizes"):
        gone = client.get(f"{PATH}/klaviyo:L1{path}")
        assert (gone.status_code, gone.get_json()["type"]) == (404, "/problems/not-found"), path


def test_overlap_counts_customers_in_both(
    client: FlaskClient, built_demo: Settings, tenant: UUID
) -> None:
    shopify = walk(client, PATH, source="shopify", sort="members")[1]["id"]
    first = members_in_sql(built_demo, tenant, "rfm:champions")
    second = members_in_sql(built_demo, tenant, shopify)
    assert first & second
    answer = client.get(f"{PATH}/rfm:champions/overlap", query_string={"with": shopify})
    assert answer.get_json() == {
        "id": "rfm:champions",
        "with_id": shopify,
        "customers": len(first),
        "with_customers": len(second),
        "both": len(first & second),
    }
    wrong = client.get(f"{PATH}/rfm:champions/overlap", query_string={"with": "shopify:1"})
    assert (wrong.status_code, wrong.get_json()["errors"][0]["parameter"]) == (422, "with")


def test_changes_say_who_entered_and_left_and_when(
    client: FlaskClient, built_demo: Settings, tenant: UUID
) -> None:
    rows = walk(client, f"{PATH}/rfm:loyal/changes", limit=50, since="2026-01-01T00:00:00Z")
    moves = rows_of(
        built_demo,
        "select customer_id, from_segment, to_segment from marts.rfm_segment_transitions"
        " where tenant_id = %s and 'loyal' in (from_segment, to_segment)"
        " and as_of > '2026-01-01'",
        tenant,
    )
    assert len(moves) > 50
    assert sorted(
        (row["customer_id"], row["change"], row["rfm_segment"] or "") for row in rows
    ) == (
        sorted(
            (move["customer_id"], "entered", move["from_segment"] or "")
            if move["to_segment"] == "loyal"
            else (move["customer_id"], "left", move["to_segment"] or "")
            for move in moves
        )
    )
    assert [row["changed_at"] for row in rows] == sorted(row["changed_at"] for row in rows)
    newest_first = walk(
        client, f"{PATH}/rfm:loyal/changes", limit=50, since="2026-01-01T00:00:00Z", sort="newest"
    )
    assert newest_first == rows[::-1]
    newest = rows[-1]["changed_at"]
    assert walk(client, f"{PATH}/rfm:loyal/changes", since=newest) == []

    segment = walk(client, PATH, source="shopify", sort="members")[0]["id"]
    assert walk(client, f"{PATH}/{segment}/changes") == []
    change(
        built_demo,
        "insert into shopify.segment_changes"
        " (tenant_id, segment_id, customer_id, changed_at, has_entered)"
        " values (%s, %s, '7', now() - interval '2 days', true),"
        " (%s, %s, '7', now() - interval '1 day', false)",
        *(tenant, segment.split(":")[1]) * 2,
    )
    changes = walk(client, f"{PATH}/{segment}/changes", limit=1)
    assert [(row["customer_id"], row["change"]) for row in changes] == [
        ("7", "entered"),
        ("7", "left"),
    ]


@pytest.mark.parametrize("path", ["", "/customers", "/customers.csv", "/changes", "/sizes"])
def test_an_unknown_segment_is_not_found(client: FlaskClient, path: str) -> None:
    for segment in ("rfm:nobody", "shopify:1", "klaviyo:none", "champions", "rfm:%00", "x:y"):
        response = client.get(f"{PATH}/{segment}{path}")
        assert (response.status_code, response.get_json()["type"]) == (
            404,
            "/problems/not-found",
        ), segment


def test_a_former_rfm_segment_keeps_its_members_until_the_next_build(
    client: FlaskClient, built_demo: Settings, tenant: UUID
) -> None:
    change(
        built_demo,
        "update marts.customer_facts set segment = 'vip' where tenant_id = %s and segment = 'new'",
        tenant,
    )
    change(
        built_demo,
        "update marts.rfm_segment_summary set segment = 'vip'"
        " where tenant_id = %s and segment = 'new'",
        tenant,
    )
    former = client.get(f"{PATH}/rfm:vip").get_json()
    assert former["name"] == "vip"
    assert former["members"] == client.get(f"{PATH}/rfm:vip/customers").get_json()["total"]
    assert client.get(f"{PATH}/rfm:new").get_json()["members"] is None


# -- customers ----------------------------------------------------------------------------------


def test_a_customer_comes_with_scores_history_segments_samples_and_lists(
    client: FlaskClient, built_demo: Settings, tenant: UUID
) -> None:
    (row,) = rows_of(
        built_demo,
        "select c.customer_id, c.segment, c.sample_order_ids from marts.customer_facts as c"
        " where c.tenant_id = %s and c.segment is not null and cardinality(c.sample_order_ids) > 0"
        " and c.email is not null order by c.lifetime_minor desc limit 1",
        tenant,
    )
    customer = client.get(f"/api/admin/customers/{row['customer_id']}").get_json()
    assert customer["scores"]["segment"] == customer["rfm_segment"] == row["segment"]
    assert customer["scores"]["r_reason"]
    assert customer["history"][0]["to_segment"] == row["segment"]
    assert {sample["order_id"] for sample in customer["sample_orders"]} == set(
        row["sample_order_ids"]
    )
    in_shopify = rows_of(
        built_demo,
        "select segment_id from shopify.segment_members where tenant_id = %s and customer_id = %s",
        tenant,
        row["customer_id"],
    )
    expected = {f"rfm:{row['segment']}", *(f"shopify:{m['segment_id']}" for m in in_shopify)}
    assert {segment["id"] for segment in customer["segments"]} == expected
    alone = client.get(f"/api/admin/customers/{row['customer_id']}/segments").get_json()
    assert alone["data"] == customer["segments"]

    feed_list(built_demo, tenant, "rfm:champions")
    change(
        built_demo,
        "insert into app.klaviyo_ledger (tenant_id, config_id, email, customer_id, state)"
        " select c.tenant_id, c.config_id, %s, %s, 'synced' from app.klaviyo_sync_configs as c"
        " where c.tenant_id = %s",
        customer["email"].lower(),
        row["customer_id"],
        tenant,
    )
    listed = client.get(f"/api/admin/customers/{row['customer_id']}").get_json()["lists"]
    assert [(item["segment_id"], item["list_name"], item["state"]) for item in listed] == [
        ("rfm:champions", "Best", "synced")
    ]


def test_a_customer_whose_id_has_a_slash_is_shown(
    client: FlaskClient, built_demo: Settings, tenant: UUID
) -> None:
    (row,) = rows_of(
        built_demo,
        "select customer_id from marts.customer_facts where tenant_id = %s"
        " and segment is not null order by customer_id limit 1",
        tenant,
    )
    change(
        built_demo,
        "update marts.customer_facts set customer_id = 'email:a/b@x.com'"
        " where tenant_id = %s and customer_id = %s",
        tenant,
        row["customer_id"],
    )
    path = "/api/admin/customers/email:a%2Fb@x.com"
    customer = client.get(path).get_json()
    assert customer["customer_id"] == "email:a/b@x.com"
    assert client.get(f"{path}/orders").get_json() == {"data": [], "next_cursor": None}
    listed = client.get(f"{path}/segments").get_json()
    assert listed["customer_id"] == "email:a/b@x.com"
    assert f"rfm:{customer['rfm_segment']}" in [segment["id"] for segment in listed["data"]]


def test_a_customer_s_orders_say_why_one_does_not_count(
    client: FlaskClient, built_demo: Settings, tenant: UUID
) -> None:
    (row,) = rows_of(
        built_demo,
        "select customer_id, count(*) as orders, count(*) filter (where is_counted) as counted"
        " from marts.orders where tenant_id = %s and customer_id is not null"
        " group by customer_id having count(*) > count(*) filter (where is_counted)"
        " and count(*) filter (where is_counted) > 1 order by customer_id limit 1",
        tenant,
    )
    orders = walk(client, f"/api/admin/customers/{row['customer_id']}/orders", limit=1)
    assert len(orders) == row["orders"]
    assert sum(order["is_counted"] for order in orders) == row["counted"]
    assert all(bool(order["exclusion_reasons"]) != order["is_counted"] for order in orders)
    assert [o["ordered_at"] for o in orders] == sorted(
        (o["ordered_at"] for o in orders), reverse=True
    )


def test_all_customers_are_listed_and_searched(
    clients: dict[str, FlaskClient], built_demo: Settings, stores: dict[str, UUID]
) -> None:
    client, tenant = clients[STORES[1]], stores[STORES[1]]
    expected = rows_of(
        built_demo, "select customer_id from marts.customer_facts where tenant_id = %s", tenant
    )
    rows = walk(client, "/api/admin/customers", limit=150, sort="name")
    assert {row["customer_id"] for row in rows} == {row["customer_id"] for row in expected}
    assert len(rows) == len(expected)
    named = next(row for row in rows if row["name"])
    found = walk(client, "/api/admin/customers", q=named["name"].upper())
    assert named["customer_id"] in {row["customer_id"] for row in found}


def test_no_store_sees_another_s_members_or_customers(
    clients: dict[str, FlaskClient], built_demo: Settings, stores: dict[str, UUID]
) -> None:
    ours, theirs = clients[STORES[0]], clients[STORES[1]]
    customer = walk(ours, f"{PATH}/rfm:champions/customers")[0]["customer_id"]
    shopify = walk(ours, PATH, source="shopify")[0]["id"]
    (shared,) = rows_of(
        built_demo,
        "select count(*) as n from shopify.cached_segments"
        " where tenant_id = %s and segment_id = %s",
        stores[STORES[1]],
        shopify.split(":")[1],
    )
    assert shared["n"] == 0
    assert theirs.get(f"{PATH}/{shopify}/customers").status_code == 404
    assert theirs.get(f"/api/admin/customers/{customer}").status_code == 404
    assert theirs.get(f"/api/admin/customers/{customer}/orders").status_code == 404
    assert theirs.get(f"/api/admin/customers/{customer}/segments").get_json()["data"] == []
    ids = {row["customer_id"] for row in walk(theirs, f"{PATH}/rfm:champions/customers")}
    assert customer not in ids


# -- marts to read ------------------------------------------------------------------------------


def test_grid_cohorts_and_excluded_orders_are_the_marts(
    client: FlaskClient, built_demo: Settings, tenant: UUID
) -> None:
    grid = client.get(f"{PATH}/rfm/grid").get_json()
    assert len(grid["data"]) == 25
    scored = len(
        rows_of(
            built_demo,
            "select 1 from marts.customer_facts where tenant_id = %s and segment is not null",
            tenant,
        )
    )
    assert sum(cell["customers"] for cell in grid["data"]) == scored
    cohorts = walk(client, f"{PATH}/rfm/cohorts", limit=7)
    in_sql = rows_of(
        built_demo,
        "select sum(customers)::int as customers, count(*) as n from marts.rfm_cohorts"
        " where tenant_id = %s",
        tenant,
    )
    assert [{"customers": sum(c["customers"] for c in cohorts), "n": len(cohorts)}] == in_sql
    counts = rows_of(
        built_demo,
        "select count(*) as n, count(*) filter (where 'sample' = any(exclusion_reasons)) as samples"
        " from marts.rfm_excluded_orders where tenant_id = %s",
        tenant,
    )
    excluded = walk(client, f"{PATH}/rfm/excluded-orders")
    samples = walk(client, f"{PATH}/rfm/excluded-orders", reason="sample")
    assert [{"n": len(excluded), "samples": len(samples)}] == counts
    assert all("sample" in order["exclusion_reasons"] for order in samples)


def test_rejected_rows_are_readable_without_their_records(
    client: FlaskClient, built_demo: Settings, tenant: UUID
) -> None:
    for number in range(3):
        change(
            built_demo,
            "insert into shopify.rejected_rows (tenant_id, entity, source_id, reason, payload)"
            " values (%s, %s, %s, 'no date', '{\"email\": \"secret@example.com\"}')",
            tenant,
            "order" if number else "csv_line",
            str(number),
        )
    rows = walk(client, "/api/admin/rejected-rows", limit=1)
    assert [(row["entity"], row["source_id"]) for row in rows] == [
        ("order", "2"),
        ("order", "1"),
        ("csv_line", "0"),
    ]
    assert len(walk(client, "/api/admin/rejected-rows", entity="order")) == 2
    assert "secret" not in client.get("/api/admin/rejected-rows").text
