"""Sample settings over the API: validation, preview, change history and undo."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from apiflask import APIFlask
from flask.testing import FlaskClient

from service.core.config import Settings
from service.core.db import connect, connect_as_owner, open_pool, transform_url
from service.worker.tasks import Worker
from tests.samples import configure, land
from tests.web import add_samples, client_of

PATH = "/api/admin/samples/settings"
DEFAULTS = {
    "ugc_tags": ["ugc-sample", "ugc", "creator-sample"],
    "tiktok_tags": ["tiktok-sample", "tiktok-shop-sample", "Free sample"],
    "channel_patterns": ["tiktok%", "%tiktok shop%"],
    "zero_price_only": True,
    "ugc_zero_price_only": False,
}
EVERY_TABLE = """
    select n.nspname || '.' || c.relname as name
    from pg_class as c
    inner join pg_namespace as n on c.relnamespace = n.oid
    where c.relkind = 'r' and n.nspname in ('app', 'shopify', 'jobs') order by 1
"""


@pytest.fixture
def settings(built_settings: Settings) -> Settings:
    return built_settings


@pytest.fixture
def client(app: APIFlask, settings: Settings, tenants: list[UUID]) -> FlaskClient:
    return client_of(app, settings, tenants[0])


def rules(answer: dict[str, Any]) -> dict[str, Any]:
    return {name: answer[name] for name in DEFAULTS}


def runs_of(settings: Settings) -> list[tuple[UUID, str, str]]:
    with connect_as_owner(settings) as conn:
        rows = conn.execute("select tenant_id, kind, state from app.runs").fetchall()
    return [(row["tenant_id"], row["kind"], row["state"]) for row in rows]


def test_a_change_is_recorded_with_its_author_and_builds_only_that_tenant(
    client: FlaskClient, app: APIFlask, settings: Settings, tenants: list[UUID]
) -> None:
    assert rules(client.get(PATH).get_json()) == DEFAULTS
    assert client.get(PATH).get_json()["updated_by"] is None
    answer = client.patch(PATH, json={"ugc_tags": [" Gift ", "GIFT", "gift\n", "pr"]})
    assert answer.status_code == 202
    body = answer.get_json()
    expected = DEFAULTS | {"ugc_tags": ["Gift", "pr"]}
    assert rules(body["settings"]) == expected == rules(client.get(PATH).get_json())
    assert body["settings"]["updated_by"].startswith("API token tests …")
    assert (body["run"]["kind"], body["run"]["state"]) == ("build", "queued")
    assert runs_of(settings) == [(tenants[0], "build", "queued")]
    [change] = client.get(f"{PATH}/history").get_json()["data"]
    assert rules(change) == DEFAULTS
    assert change["changed_by"] == body["settings"]["updated_by"]
    other = client_of(app, settings, tenants[1])
    assert rules(other.get(PATH).get_json()) == DEFAULTS
    assert other.get(f"{PATH}/history").get_json()["data"] == []


def test_a_change_without_effect_is_not_recorded(client: FlaskClient, settings: Settings) -> None:
    same = {"zero_price_only": True, "ugc_zero_price_only": False}
    body = client.patch(PATH, json=same).get_json()
    assert (rules(body["settings"]), body["run"]) == (DEFAULTS, None)
    assert client.get(f"{PATH}/history").get_json()["data"] == []
    assert runs_of(settings) == []


def test_undo_restores_the_previous_settings_and_can_be_undone(client: FlaskClient) -> None:
    client.patch(PATH, json={"ugc_tags": ["one"]})
    two = {"ugc_tags": ["two"], "zero_price_only": False, "ugc_zero_price_only": True}
    client.patch(PATH, json=two)
    undone = client.post(f"{PATH}/undo", json={}).get_json()["settings"]
    assert rules(undone) == DEFAULTS | {"ugc_tags": ["one"]}
    undone = client.post(f"{PATH}/undo", json={}).get_json()["settings"]
    assert rules(undone) == DEFAULTS | two
    first = client.get(f"{PATH}/history").get_json()["data"][-1]
    answer = client.post(f"{PATH}/undo", json={"change_id": first["change_id"]})
    assert rules(answer.get_json()["settings"]) == DEFAULTS


def test_only_changes_of_the_own_tenant_can_be_undone(
    client: FlaskClient, app: APIFlask, settings: Settings, tenants: list[UUID]
) -> None:
    assert client.post(f"{PATH}/undo", json={}).status_code == 422
    other = client_of(app, settings, tenants[1])
    other.patch(PATH, json={"ugc_tags": ["other"]})
    [change] = other.get(f"{PATH}/history").get_json()["data"]
    answer = client.post(f"{PATH}/undo", json={"change_id": change["change_id"]})
    assert answer.status_code == 422
    assert rules(client.get(PATH).get_json()) == DEFAULTS


@pytest.mark.parametrize(
    "change",
    [
        {"ugc_tags": ["  "]},
        {"ugc_tags": [""]},
        {"ugc_tags": [None]},
        {"tiktok_tags": ["x" * 256]},
        {"tiktok_tags": [f"tag {n}" for n in range(101)]},
        {"ugc_tags": ["nul\u0000"]},
        {"channel_patterns": ["\\"]},
        {"channel_patterns": ["tiktok\\\\\\"]},
        {"channel_patterns": [" "]},
        {"channel_patterns": ["%"]},
        {"channel_patterns": ["tiktok%", "%%%%%"]},
        {"channel_patterns": ["_"]},
        {"channel_patterns": "tiktok%"},
        {"zero_price_only": "maybe"},
        {"ugc_zero_price_only": "maybe"},
        {"unknown": 1},
    ],
    ids=str,
)
def test_an_invalid_value_is_refused_and_changes_nothing(
    client: FlaskClient, settings: Settings, change: dict[str, Any]
) -> None:
    answer = client.patch(PATH, json=change)
    assert answer.status_code == 422, answer.get_json()
    assert answer.mimetype == "application/problem+json"
    assert rules(client.get(PATH).get_json()) == DEFAULTS
    assert runs_of(settings) == []


def test_unusual_values_are_saved_as_they_are(client: FlaskClient) -> None:
    change = {
        "ugc_tags": ["quote's", '"a, b"', "100%", "{}", "NULL", "🎁", "x" * 255, "back\\slash"],
        "tiktok_tags": [],
        "channel_patterns": ["%", r"100\%", "\\\\"],
    }
    answer = client.patch(PATH, json={**change, "confirm_broad": True})
    assert rules(answer.get_json()["settings"]) == DEFAULTS | change


def test_patterns_are_compared_with_the_channels_of_the_own_store(
    client: FlaskClient, settings: Settings, tenants: list[UUID]
) -> None:
    north, south = tenants[:2]
    with connect_as_owner(settings) as owner:
        names = ["TikTok Shop", "Web", "TikTok Shop", None, "100% Cotton"]
        land(owner, north, [{"order_id": f"o{n}", "channel": c} for n, c in enumerate(names)])
        land(owner, south, [{"order_id": "o", "channel": "TikTok South"}])
    before = written(settings)
    patterns = ["tiktok%", r"100\%%", "%shop"]
    answer = client.post(f"{PATH}/channels", json={"channel_patterns": patterns})
    assert answer.get_json()["data"] == [
        {"channel": "100% Cotton", "matched_patterns": [r"100\%%"]},
        {"channel": "TikTok Shop", "matched_patterns": ["tiktok%", "%shop"]},
        {"channel": "Web", "matched_patterns": []},
    ]
    assert written(settings) == before
    refused = client.post(f"{PATH}/channels", json={"channel_patterns": ["web\\"]})
    assert refused.status_code == 422


def test_a_preview_returns_the_effect_and_writes_nothing(
    client: FlaskClient, settings: Settings, tenants: list[UUID]
) -> None:
    north = tenants[0]
    with connect_as_owner(settings) as owner:
        for tenant in tenants:
            configure(owner, tenant, ugc_tags=["ugc"])
            land(
                owner,
                tenant,
                [
                    *(
                        {
                            "order_id": f"g{n:02}",
                            "tags": [" GIFT"],
                            "processed_at": f"2026-06-{n:02} 12:00+00",
                            "order_number": f"#{n}",
                        }
                        for n in range(1, 13)
                    ),
                    {"order_id": "u1", "tags": ["ugc"]},
                    {"order_id": "both", "tags": ["ugc", "gift"]},
                    {"order_id": "paid", "tags": ["gift"], "subtotal_minor": 5},
                    {"order_id": "t1", "channel": "TikTok", "tags": []},
                ],
            )
    add_samples(settings, north, [{"order_id": "u1"}, {"order_id": "both"}])
    before = written(settings)
    change = {"ugc_tags": ["gift"], "channel_patterns": ["%"]}
    answer = client.post(f"{PATH}/preview", json=change)
    assert answer.status_code == 200
    body = answer.get_json()
    assert (body["current_count"], body["proposed_count"]) == (2, 15)
    assert (body["entering_count"], body["leaving_count"]) == (14, 1)
    assert body["needs_confirmation"]
    assert [order["order_id"] for order in body["leaving"]] == ["u1"]
    assert [order["order_id"] for order in body["entering"]] == [
        *(f"g{n:02}" for n in range(12, 2, -1)),
    ]
    assert body["entering"][0] == {
        "order_id": "g12",
        "order_number": "#12",
        "customer_name": None,
        "ordered_at": "2026-06-12T12:00:00Z",
        "types": ["ugc"],
        "matched_tags": [" GIFT"],
        "matched_patterns": [],
    }
    assert written(settings) == before
    saved = client.patch(PATH, json=change)
    assert saved.status_code == 422
    assert client.post(f"{PATH}/preview", json={}).get_json()["leaving_count"] == 0


def test_a_preview_shows_what_a_price_condition_moves(
    client: FlaskClient, settings: Settings, tenants: list[UUID]
) -> None:
    """A condition moves the paid orders of its own type, and no others."""
    with connect_as_owner(settings) as owner:
        land(
            owner,
            tenants[0],
            [
                {"order_id": "ugc", "tags": ["ugc"], "subtotal_minor": 900},
                {"order_id": "free", "tags": ["ugc"]},
                {"order_id": "tiktok", "tags": ["Free sample"], "subtotal_minor": 900},
                {"order_id": "channel", "channel": "TikTok", "subtotal_minor": 900},
            ],
        )
    add_samples(settings, tenants[0], [{"order_id": "ugc"}, {"order_id": "free"}])

    def moved(**change: bool) -> tuple[list[str], list[str]]:
        body = client.post(f"{PATH}/preview", json=change).get_json()
        entering, leaving = (
            sorted(order["order_id"] for order in body[side]) for side in ("entering", "leaving")
        )
        return entering, leaving

    assert moved() == ([], [])
    assert moved(ugc_zero_price_only=True) == ([], ["ugc"])
    assert moved(zero_price_only=False) == (["channel", "tiktok"], [])
    assert moved(zero_price_only=False, ugc_zero_price_only=True) == (
        ["channel", "tiktok"],
        ["ugc"],
    )


def written(settings: Settings) -> dict[str, str]:
    """All rows of the tables that dbt does not write, with their physical location."""
    with connect_as_owner(settings) as owner:
        names = [row["name"] for row in owner.execute(EVERY_TABLE).fetchall()]
        names = [name for name in names if name != "app.api_tokens"]
        found = {
            name: str(owner.execute(f"select ctid, xmin, * from {name}").fetchall())  # type: ignore[call-overload]
            for name in names
        }
    with connect(transform_url(settings)) as conn:
        found["marts"] = str(
            conn.execute("select ctid, xmin, * from marts.sample_orders").fetchall()
        )
    return found


def test_a_saved_change_rebuilds_samples_creators_and_rfm(
    client: FlaskClient, settings: Settings, tenants: list[UUID]
) -> None:
    """An order that becomes a sample no longer counts as a purchase."""
    north = tenants[0]
    # The worker builds as of now.
    bought = {"subtotal_minor": 900, "processed_at": datetime.now(UTC) - timedelta(days=5)}
    with connect_as_owner(settings) as owner:
        land(
            owner,
            north,
            [
                {"order_id": "1", "customer_id": "7", "tags": ["gift"], **bought},
                {"order_id": "2", "customer_id": "7", **bought, "note": "for @ada"},
                {"order_id": "3", "customer_id": "8", "tags": ["gift"], "note": "@ada", **bought},
            ],
        )
    creator = client.post("/api/admin/creators", json={"handle": "ada"}).get_json()
    change = {"ugc_tags": ["Gift"]}
    run = client.patch(PATH, json=change).get_json()["run"]
    with open_pool(settings) as pool:
        worker = Worker(settings, pool)
        worker.do(worker.build, str(north), run["run_id"])
    listed = client.get("/api/admin/samples?sort=oldest").get_json()["data"]
    assert [(row["order_id"], row["creator_link"]) for row in listed] == [
        ("1", None),
        ("3", "handle"),
    ]
    assert listed[1]["creator_id"] == creator["creator_id"]
    figures = client.get(f"/api/admin/creators/{creator['creator_id']}").get_json()
    assert (figures["samples"], figures["own_orders"]) == (1, 0)
    scored = client.get("/api/admin/segments/rfm/customers").get_json()["data"]
    assert [(row["customer_id"], row["frequency_count"]) for row in scored] == [("7", 1)]
