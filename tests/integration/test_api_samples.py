"""Samples over the API: filters, sort orders, pages, creators and CSV."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest
from apiflask import APIFlask
from flask.testing import FlaskClient

from service.core.config import Settings
from service.core.db import connect, connect_as_owner, transform_url
from tests.samples import land
from tests.web import CALCULATED_AT, add_samples, client_of

PATH = "/api/admin/samples"
CREATORS = "/api/admin/creators"


@pytest.fixture
def settings(built_settings: Settings) -> Settings:
    return built_settings


@pytest.fixture
def tenant(tenants: list[UUID]) -> UUID:
    return tenants[0]


def found(client: FlaskClient, **query: str) -> list[str]:
    answer = client.get(PATH, query_string=query)
    assert answer.status_code == 200, answer.get_json()
    return [row["order_id"] for row in answer.get_json()["data"]]


def walk(client: FlaskClient, **query: str) -> list[str]:
    """Every order's id, two at a time."""
    ids: list[str] = []
    cursor: str | None = None
    while True:
        answer = client.get(
            PATH, query_string={"limit": "2", **query, **({"cursor": cursor} if cursor else {})}
        ).get_json()
        ids += [row["order_id"] for row in answer["data"]]
        cursor = answer["next_cursor"]
        if cursor is None:
            return ids


def new_creator(client: FlaskClient, **fields: Any) -> dict[str, Any]:
    answer = client.post(CREATORS, json=fields)
    assert answer.status_code == 201, answer.get_json()
    created: dict[str, Any] = answer.get_json()
    return created


def test_every_sort_order_pages_every_order_once(
    client: FlaskClient, settings: Settings, tenant: UUID
) -> None:
    add_samples(
        settings,
        tenant,
        [
            {
                "order_id": str(number),
                "ordered_at": CALCULATED_AT - timedelta(days=number // 2),
                "goods_value": None if number == 3 else Decimal(number % 3),
                "days_waiting": None if number == 5 else number % 2,
            }
            for number in range(7)
        ],
    )
    assert walk(client) == ["1", "0", "3", "2", "5", "4", "6"]
    assert walk(client, sort="oldest") == ["6", "4", "5", "2", "3", "0", "1"]
    assert walk(client, sort="value") == ["5", "2", "4", "1", "6", "0", "3"]
    assert walk(client, sort="waiting") == ["3", "1", "6", "4", "2", "0", "5"]
    cursor = client.get(f"{PATH}?limit=2").get_json()["next_cursor"]
    for sort in ("oldest", "value"):
        answer = client.get(PATH, query_string={"sort": sort, "cursor": cursor})
        assert (answer.status_code, answer.get_json()["type"]) == (400, "/problems/bad-cursor")


def test_days_are_in_the_tenants_time_zone_and_inclusive(
    client: FlaskClient, settings: Settings, tenant: UUID
) -> None:
    with connect_as_owner(settings) as owner:
        owner.execute(
            "update app.tenants set time_zone = 'Asia/Tokyo' where tenant_id = %s", [tenant]
        )
    # Midnight in Tokyo is 15:00 UTC.
    for number, at in enumerate(["2026-06-30T14:59", "2026-06-30T15:00", "2026-07-01T14:59"]):
        instant = datetime.fromisoformat(at).replace(tzinfo=UTC)
        add_samples(settings, tenant, [{"order_id": str(number), "ordered_at": instant}])
    assert found(client, ordered_from="2026-07-01") == ["2", "1"]
    assert found(client, ordered_until="2026-06-30") == ["0"]
    assert found(client, ordered_from="2026-07-01", ordered_until="2026-07-01") == ["2", "1"]
    assert client.get(PATH, query_string={"ordered_from": "soon"}).status_code == 422


@pytest.mark.parametrize("path", [PATH, f"{PATH}.csv"])
def test_days_in_the_wrong_order_are_refused_at_the_first(
    client: FlaskClient, settings: Settings, tenant: UUID, path: str
) -> None:
    add_samples(settings, tenant, [{"order_id": "1"}])
    answer = client.get(f"{path}?ordered_from=2026-07-02&ordered_until=2026-07-01")
    assert answer.status_code == 422
    body = answer.get_json()
    assert body["errors"] == [
        {"parameter": "ordered_from", "detail": "The first date is after the last date."}
    ]
    assert body["advice"]
    # One day is a range, and so is an open one.
    for query in ("ordered_from=2026-07-01&ordered_until=2026-07-01", "ordered_from=2026-07-01"):
        assert client.get(f"{path}?{query}").status_code == 200


def test_a_creators_samples_are_those_that_the_list_shows(
    client: FlaskClient, settings: Settings, tenant: UUID
) -> None:
    """Linking a creator changes the list at once, and so the creator's figures."""
    creator = new_creator(client, handle="ada")["creator_id"]
    add_samples(
        settings,
        tenant,
        [
            {"order_id": "1", "creator_id": creator, "status": "fulfilled"},
            {"order_id": "2"},
            {"order_id": "3", "creator_id": creator, "status": "cancelled"},
        ],
    )

    def figures() -> tuple[int, int, str | None]:
        row = client.get(f"{CREATORS}/{creator}").get_json()
        [listed] = client.get(f"{CREATORS}?q=ada").get_json()["data"]
        assert listed == row
        listed_samples = client.get(PATH, query_string={"creator_id": creator}).get_json()["data"]
        not_cancelled = [each for each in listed_samples if each["status"] != "cancelled"]
        assert row["samples"] == len(not_cancelled)
        return row["samples"], row["samples_sent"], row["goods_value"]

    assert figures() == (1, 1, "24.90")
    client.post(f"{PATH}/2/creator", json={"creator_id": creator})
    assert figures() == (2, 1, "49.80")
    client.delete(f"{PATH}/1/creator")
    assert figures() == (1, 0, "24.90")


def test_the_figures_have_the_time_that_they_are_of(
    client: FlaskClient, settings: Settings, tenant: UUID
) -> None:
    """Not that of a run: a build may be as of an earlier day."""
    with connect(transform_url(settings)) as conn:
        conn.execute(
            """
            insert into marts.sample_stats (
                tenant_id, sample_type, samples, pending, partly_fulfilled, fulfilled, cancelled,
                last_30_days, previous_30_days, calculated_at
            )
            select %s, t, 0, 0, 0, 0, 0, 0, 0, %s from unnest(array['all', 'ugc', 'tiktok']) as t
            """,
            [tenant, CALCULATED_AT],
        )
    with connect_as_owner(settings) as owner:
        owner.execute(
            "insert into app.runs (tenant_id, kind, trigger, state, finished_at)"
            " values (%s, 'build', 'cli', 'succeeded', now())",
            [tenant],
        )
    stats = client.get(f"{PATH}/stats").get_json()
    assert stats["as_of"] == "2026-07-01T00:00:00Z"


def changes(client: FlaskClient, noun: str) -> list[tuple[str, str, Any, Any]]:
    """Verb, subject and values of actions in the audit log that start so, newest first."""
    return [
        (row["action"].split("_")[-1].split(".")[-1], row["subject"], row["before"], row["after"])
        for row in client.get("/api/admin/audit-log").get_json()["data"]
        if row["action"].startswith(noun)
    ]


def test_a_chosen_or_removed_creator_is_shown_at_once(
    client: FlaskClient, settings: Settings, tenant: UUID
) -> None:
    ada = new_creator(client, handle=" @Ada.Creates ", platform="tiktok", email="ADA@example.com")
    bo = new_creator(client, name="Bo Möller")
    assert (ada["handle"], ada["email"]) == ("ada.creates", "ada@example.com")
    add_samples(
        settings,
        tenant,
        [
            {"order_id": "auto", "creator_id": ada["creator_id"], "creator_link": "email"},
            {"order_id": "bare"},
        ],
    )
    row = client.get(f"{PATH}/auto").get_json()
    assert (row["creator_handle"], row["creator_link"]) == ("ada.creates", "email")
    assert found(client, creator_id=ada["creator_id"]) == ["auto"]
    assert found(client, q="ADA.CRE") == ["auto"]

    chosen = client.post(f"{PATH}/bare/creator", json={"creator_id": bo["creator_id"]}).get_json()
    assert (chosen["creator_name"], chosen["creator_link"]) == ("Bo Möller", "manual")
    assert chosen["linked_by"].startswith("API token")
    assert found(client, q="möller") == ["bare"]

    unlinked = client.delete(f"{PATH}/auto/creator").get_json()
    assert (unlinked["creator_id"], unlinked["creator_link"]) == (None, "unlinked")
    assert found(client, creator_id=ada["creator_id"]) == []
    again = client.post(f"{PATH}/auto/creator", json={"automatic": True}).get_json()
    assert (again["creator_handle"], again["creator_link"]) == ("ada.creates", "email")
    matched = {"creator_id": None, "automatic": True}
    removed = {"creator_id": None, "automatic": False}
    assert changes(client, "sample.creator") == [
        ("chosen", "auto", removed, matched),
        ("removed", "auto", matched, removed),
        ("chosen", "bare", matched, {"creator_id": bo["creator_id"], "automatic": False}),
    ]


def test_an_order_whose_id_has_a_slash_is_shown_and_changed(
    client: FlaskClient, settings: Settings, tenant: UUID
) -> None:
    bo = new_creator(client, name="Bo Möller")
    add_samples(settings, tenant, [{"order_id": "2024/001"}])
    with connect_as_owner(settings) as owner:
        land(owner, tenant, [{"order_id": "2024/001"}])
    path = f"{PATH}/2024%2F001"
    assert client.get(path).get_json()["order_id"] == "2024/001"
    chosen = client.post(f"{path}/creator", json={"creator_id": bo["creator_id"]}).get_json()
    assert chosen["creator_name"] == "Bo Möller"
    assert client.delete(f"{path}/creator").get_json()["creator_id"] is None
    decision = f"{PATH}/suggestions/2024%2F001/decision"
    assert client.put(decision, json={"decision": "ugc"}).status_code == 202
    assert client.delete(decision).status_code == 202
    # What is no order's id keeps its own route.
    assert len(client.get(f"{PATH}/stats").get_json()["data"]) > 1
    page = client.get("/admin/samples/orders/2024%2F001")
    assert 'data-link-creator="2024/001"' in page.text


def test_an_order_cannot_be_linked_across_tenants(
    client: FlaskClient, app: APIFlask, settings: Settings, tenants: list[UUID]
) -> None:
    add_samples(settings, tenants[0], [{"order_id": "1"}])
    add_samples(settings, tenants[1], [{"order_id": "2"}])
    other = new_creator(client_of(app, settings, tenants[1]), handle="zoe")
    for creator_id in (other["creator_id"], str(uuid4())):
        answer = client.post(f"{PATH}/1/creator", json={"creator_id": creator_id})
        assert answer.status_code == 422
    assert client.delete(f"{PATH}/2/creator").status_code == 404
    assert client.get(f"{PATH}/2").status_code == 404
    assert client.get(f"{PATH}/%00").status_code == 404
    assert client.get(f"{CREATORS}/{other['creator_id']}").status_code == 404
    assert client.delete(f"{CREATORS}/{other['creator_id']}").status_code == 404
    answer = client.post(f"{PATH}/1/creator", json={})
    assert answer.status_code == 422
    assert client.get(f"{PATH}/1").get_json()["creator_link"] is None


def test_the_detail_has_items_note_and_tags(
    client: FlaskClient, settings: Settings, tenant: UUID
) -> None:
    add_samples(settings, tenant, [{"order_id": "1"}])
    with connect_as_owner(settings) as owner:
        land(owner, tenant, [{"order_id": "1", "note": "for the spring shoot"}])
    row = client.get(f"{PATH}/1").get_json()
    assert row["items"] == [{"title": "Serum", "variant_title": None, "sku": "S-1", "quantity": 1}]
    assert (row["note"], row["price_reason"]) == ("for the spring shoot", "free")
    assert row["evidence"] == "tagged “ugc-sample”; the goods cost nothing"


def test_creators_are_changed_validated_and_deleted(client: FlaskClient) -> None:
    ada = new_creator(client, handle="ada", platform="tiktok", email="a@example.com")
    new_creator(client, handle="ada", platform="instagram", name="Another")
    path = f"{CREATORS}/{ada['creator_id']}"
    changed = client.patch(path, json={"email": None, "notes": "likes serums"}).get_json()
    assert (changed["handle"], changed["email"], changed["notes"]) == (
        *("ada", None, "likes serums"),
    )
    for fields in (
        {"handle": "ada", "platform": "instagram"},
        {"handle": None},
        {"handle": "two words"},
        {"profile_url": "javascript:alert(1)"},
        {"email": "nobody"},
        {"platform": "myspace"},
    ):
        assert client.patch(path, json=fields).status_code == 422, fields
    assert client.post(CREATORS, json={"notes": "who"}).status_code == 422
    answer = client.post(CREATORS, json={"handle": "ADA", "platform": "tiktok"})
    assert answer.status_code == 422
    assert "merge" in answer.get_json()["advice"]
    names = [row["handle"] for row in client.get(CREATORS).get_json()["data"]]
    assert names == ["ada", "ada"]
    assert client.delete(path).status_code == 204
    assert client.get(path).status_code == 404


def test_creators_are_sorted_by_name_and_paged(client: FlaskClient) -> None:
    for handle in ("zoe", "ada", "kim"):
        new_creator(client, handle=handle)
    new_creator(client, name="Bo")
    names: list[str] = []
    cursor = None
    while True:
        query = {"limit": "1", **({"cursor": cursor} if cursor else {})}
        answer = client.get(CREATORS, query_string=query).get_json()
        names += [row["handle"] or row["name"] for row in answer["data"]]
        cursor = answer["next_cursor"]
        if cursor is None:
            break
    assert names == ["ada", "Bo", "kim", "zoe"]
    assert [row["handle"] for row in client.get(f"{CREATORS}?q=KI").get_json()["data"]] == ["kim"]


def test_a_merge_combines_two_creators_and_starts_a_build(
    client: FlaskClient, settings: Settings, tenant: UUID
) -> None:
    stays = new_creator(client, handle="ada", platform="tiktok", notes="first")
    goes = new_creator(
        client, handle="ada.old", platform="tiktok", email="a@example.com", notes="second"
    )
    add_samples(settings, tenant, [{"order_id": "1"}])
    client.post(f"{PATH}/1/creator", json={"creator_id": goes["creator_id"]})
    answer = client.post(
        f"{CREATORS}/{stays['creator_id']}/merge", json={"creator_id": goes["creator_id"]}
    )
    assert answer.status_code == 202
    merged = answer.get_json()["creator"]
    assert (merged["handle"], merged["email"], merged["notes"]) == (
        *("ada", "a@example.com", "first\nsecond"),
    )
    assert merged["also_known_as"] == ["a@example.com", "ada.old"]
    assert answer.get_json()["run"]["kind"] == "build"
    assert client.get(f"{PATH}/1").get_json()["creator_id"] == stays["creator_id"]
    assert client.get(f"{CREATORS}/{goes['creator_id']}").status_code == 404
    itself = client.post(
        f"{CREATORS}/{stays['creator_id']}/merge", json={"creator_id": stays["creator_id"]}
    )
    assert itself.status_code == 422


def test_the_csv_has_all_matching_orders_and_escapes_formulas(
    client: FlaskClient, settings: Settings, tenant: UUID
) -> None:
    add_samples(
        settings,
        tenant,
        [
            *({"order_id": f"{number:04}"} for number in range(2500)),
            {
                "order_id": "odd",
                "customer_name": "=HYPERLINK(1)",
                "matched_tags": ["a,b", 'q"'],
                "is_ugc": False,
                "is_tiktok": True,
            },
        ],
    )
    answer = client.get(f"{PATH}.csv")
    assert (answer.status_code, answer.mimetype) == (200, "text/csv")
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert len(rows) == 2501
    assert len({row["order_id"] for row in rows}) == 2501
    [odd] = csv.DictReader(io.StringIO(client.get(f"{PATH}.csv?type=tiktok").text))
    assert (odd["order_id"], odd["types"], odd["tags"]) == ("odd", "tiktok", 'a,b;q"')
    assert odd["customer_name"] == "'=HYPERLINK(1)"
    assert client.get(f"{PATH}.csv?status=cancelled").text.count("\n") == 1
    assert client.get(f"{PATH}.csv?status=lost").mimetype == "application/problem+json"


def test_suggestions_and_unknown_statuses_are_listed(
    client: FlaskClient, settings: Settings, tenant: UUID
) -> None:
    with connect(transform_url(settings)) as conn:
        for number, reason in enumerate(["tag_not_free", "channel_not_free", "tag_not_free"]):
            conn.execute(
                """
                insert into marts.sample_near_misses (
                    tenant_id, order_id, reason, evidence, tags, goods_paid, currency, ordered_at
                )
                values (%s, %s, %s, '{ugc}', '{ugc}', 9.50, 'EUR', %s)
                """,
                [tenant, str(number), reason, CALCULATED_AT + timedelta(days=number)],
            )
        conn.execute(
            "insert into marts.sample_unknown_statuses values (%s, 'BY_PIGEON', 2, %s)",
            [tenant, CALCULATED_AT],
        )
    path = f"{PATH}/suggestions"
    first = client.get(f"{path}?limit=2").get_json()
    assert [row["order_id"] for row in first["data"]] == ["2", "1"]
    assert (first["data"][0]["goods_paid"], first["data"][0]["evidence"]) == ("9.50", ["ugc"])
    rest = client.get(path, query_string={"limit": "2", "cursor": first["next_cursor"]}).get_json()
    assert ([row["order_id"] for row in rest["data"]], rest["next_cursor"]) == (["0"], None)
    only = client.get(f"{path}?reason=channel_not_free").get_json()["data"]
    assert [row["order_id"] for row in only] == ["1"]
    assert only[0]["suggested_type"] == "tiktok"
    assert suggested_types(client, settings, tenant) == {
        "TikTok seeding": "tiktok",
        "tik-tok gift": "tiktok",
        "Gifted": "ugc",
    }
    stats = client.get(f"{PATH}/stats").get_json()
    assert stats["unknown_statuses"] == [{"fulfillment_status": "BY_PIGEON", "samples": 2}]


def suggested_types(client: FlaskClient, settings: Settings, tenant: UUID) -> dict[str, str]:
    """The suggested types of free orders, by their tag."""
    with connect(transform_url(settings)) as conn:
        for tag in ("TikTok seeding", "tik-tok gift", "Gifted"):
            conn.execute(
                """
                insert into marts.sample_near_misses (
                    tenant_id, order_id, reason, evidence, tags, goods_paid, currency, ordered_at
                )
                values (%s, %s, 'tag_looks_like_sample', array[%s], '{}', 0, 'EUR', %s)
                """,
                [tenant, tag, tag, CALCULATED_AT],
            )
    rows = client.get(f"{PATH}/suggestions?reason=tag_looks_like_sample").get_json()["data"]
    return {row["evidence"][0]: row["suggested_type"] for row in rows}


def test_a_suggestion_is_dismissed_made_a_sample_and_suggested_again(
    app: APIFlask, client: FlaskClient, settings: Settings, tenants: list[UUID]
) -> None:
    tenant, other = tenants[:2]
    with connect_as_owner(settings) as owner:
        for each in (tenant, other):
            land(owner, each, [{"order_id": "gift"}, {"order_id": "paid"}])
    with connect(transform_url(settings)) as conn:
        for each in (tenant, other):
            for order, reason in (("gift", "tag_looks_like_sample"), ("paid", "channel_not_free")):
                conn.execute(
                    """
                    insert into marts.sample_near_misses (
                        tenant_id, order_id, reason, evidence, tags, goods_paid, currency,
                        ordered_at
                    )
                    values (%s, %s, %s, '{Gifted}', '{}', 0, 'EUR', %s)
                    """,
                    [each, order, reason, CALCULATED_AT],
                )
    south = client_of(app, settings, other)

    def suggested(reader: FlaskClient) -> set[str]:
        rows = reader.get(f"{PATH}/suggestions").get_json()["data"]
        return {row["order_id"] for row in rows}

    def decide(order: str, decision: str) -> Any:
        path = f"{PATH}/suggestions/{order}/decision"
        return client.put(path, json={"decision": decision})

    dismissed = decide("gift", "dismissed")
    assert (dismissed.status_code, dismissed.get_json()) == (202, {"run": None})
    assert suggested(client) == {"paid"}
    marked = decide("paid", "tiktok")
    assert marked.get_json()["run"]["kind"] == "build"
    assert suggested(client) == set()
    assert suggested(south) == {"gift", "paid"}
    path = f"{PATH}/decisions"
    newest, oldest = client.get(path).get_json()["data"]
    assert (newest["order_id"], newest["decision"]) == ("paid", "tiktok")
    assert (oldest["order_id"], oldest["decision"]) == ("gift", "dismissed")
    assert newest["decided_by"].startswith("API token")
    first = client.get(f"{path}?limit=1").get_json()
    rest = client.get(path, query_string={"cursor": first["next_cursor"]}).get_json()["data"]
    assert (first["data"], rest) == ([newest], [oldest])
    assert client.get(f"{path}?decision=dismissed").get_json()["data"] == [oldest]
    assert south.get(path).get_json()["data"] == []
    assert decide("none", "ugc").status_code == 404
    assert decide("gift", "sold").status_code == 422
    assert south.delete(f"{PATH}/suggestions/paid/decision").status_code == 404
    withdrawn = client.delete(f"{PATH}/suggestions/paid/decision")
    assert withdrawn.get_json()["run"]["kind"] == "build"
    assert decide("gift", "ugc").status_code == 202
    assert decide("gift", "dismissed").get_json() == {"run": None}
    assert client.delete(f"{PATH}/suggestions/gift/decision").get_json() == {"run": None}
    no, ugc = {"decision": "dismissed"}, {"decision": "ugc"}
    assert changes(client, "sample.deci")[:3] == [
        ("withdrawn", "gift", no, None),
        ("decided", "gift", ugc, no),
        ("decided", "gift", no, ugc),
    ]
    assert suggested(client) == {"gift", "paid"}
    # A tag that the settings cover is none to suggest, even before the build.
    client.patch(f"{PATH}/settings", json={"tiktok_tags": [" gifted"]})
    assert suggested(client) == {"paid"}
