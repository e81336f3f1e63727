"""Segments and grids of tenants: over the API, by command, for Klaviyo lists and in builds."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from apiflask import APIFlask
from flask.testing import FlaskClient

from service.core.config import Settings
from service.core.db import connect, connect_as_owner
from service.core.errors import InvalidInputError
from service.destinations.configs import NewConfig, create_config
from service.tenants.tenants import add_tenant
from tests.command import quintile, quintile_process
from tests.warm_dbt import dbt
from tests.web import add_history, add_scored_customers, client_of, running_app

PATH = "/api/admin/segments/rfm/rule"
SCORES = range(1, 6)

# Who spends much, by recency; all others are in one segment.
SEGMENTS = [
    {"segment": "vip", "label": "VIP", "colour": "#B4541A", "priority": 2},
    {
        "segment": "asleep",
        "label": "Asleep",
        "colour": "#222222",
        "priority": 1,
        "description": "Spent much, long ago",
        "suggested_action": "Call",
    },
    {"segment": "rest", "label": "The rest", "colour": "#66707a", "priority": 7},
]
GRID = [
    {"r_score": r, "f_score": f, "m_score": m, "segment": name}
    for r in SCORES
    for f in SCORES
    for m, name in [(5, "vip" if r > 2 else "asleep"), *((m, "rest") for m in range(1, 5))]
]
RULE = {"segments": SEGMENTS, "grid": GRID}
WHOLE = [{"r_score": r, "f_score": f, "segment": "rest"} for r in SCORES for f in SCORES]


@pytest.fixture
def tenants(built_settings: Settings) -> list[UUID]:
    with connect_as_owner(built_settings) as conn:
        return [add_tenant(conn, name) for name in ("north", "south")]


@pytest.fixture
def app(built_settings: Settings) -> Iterator[APIFlask]:
    with running_app(built_settings) as app:
        yield app


@pytest.fixture
def client(app: APIFlask, built_settings: Settings, tenants: list[UUID]) -> FlaskClient:
    return client_of(app, built_settings, tenants[0])


def keys(rule: dict[str, Any]) -> list[str]:
    return [row["segment"] for row in rule["segments"]]


def feed(settings: Settings, tenant: UUID, segment: str, name: str) -> None:
    """Sync a segment to a list."""
    new = NewConfig(f"rfm:{segment}", list_id=f"L-{name}", list_name=name)
    with connect_as_owner(settings) as conn, conn.transaction():
        conn.execute(
            "insert into app.klaviyo_lists (tenant_id, list_id, name) values (%s, %s, %s)",
            [tenant, new.list_id, name],
        )
        create_config(conn, tenant, new)


def test_a_tenant_has_the_published_rule_until_it_saves_its_own(
    client: FlaskClient, app: APIFlask, built_settings: Settings, tenants: list[UUID]
) -> None:
    published = client.get(PATH).get_json()
    assert published["is_published"]
    assert len(published["grid"]) == 25
    assert keys(published)[:2] == ["champions", "loyal"]

    answer = client.put(PATH, json=RULE)
    assert answer.status_code == 202
    body = answer.get_json()
    assert (body["run"]["kind"], body["run"]["state"]) == ("build", "queued")
    saved = client.get(PATH).get_json()
    assert saved == body["rule"]
    assert keys(saved) == ["asleep", "vip", "rest"]
    assert saved["segments"][1]["colour"] == "#b4541a"
    assert len(saved["grid"]) == 125
    assert not saved["is_published"]
    assert saved["updated_by"].startswith("API token tests")
    other = client_of(app, built_settings, tenants[1])
    assert other.get(PATH).get_json() == published

    restored = client.delete(PATH)
    assert restored.status_code == 202
    assert restored.get_json()["rule"] == client.get(PATH).get_json() == published


@pytest.mark.parametrize(
    ("change", "pointer", "said"),
    [
        ({"grid": WHOLE}, "#/segments/0/segment", "Segment 'vip' has no cell in the grid."),
        (
            {"grid": GRID[1:]},
            "#/grid",
            "Recency 1, frequency 1, spend 5 has no segment.",
        ),
        (
            {"grid": [*GRID[1:], GRID[1]]},
            "#/grid",
            "Recency 1, frequency 1, spend 1 has several segments.",
        ),
        (
            {"segments": SEGMENTS[1:]},
            "#/grid/60/segment",
            "The grid uses the segment 'vip', which does not exist.",
        ),
        (
            {"segments": [*SEGMENTS[1:], SEGMENTS[0] | {"label": "ASLEEP"}]},
            "#/segments/0/label",
            "Several segments have the label 'Asleep'.",
        ),
        (
            {"segments": [*SEGMENTS[1:], SEGMENTS[0] | {"priority": 7}]},
            "#/segments/1/priority",
            "Several segments have the priority 7.",
        ),
        (
            {"segments": [*SEGMENTS[1:], SEGMENTS[0] | {"colour": "red"}]},
            "#/segments/2/colour",
            "A colour looks like #1b7f5c.",
        ),
        (
            {"segments": [*SEGMENTS[1:], SEGMENTS[0] | {"segment": "V I P"}]},
            "#/segments/2/segment",
            "A segment's key has 1 to 40 of a-z, 0-9 and _, beginning with a letter.",
        ),
        (
            {"segments": [*SEGMENTS[1:], SEGMENTS[0] | {"label": " "}]},
            "#/segments/2/label",
            "This must not be empty.",
        ),
        (
            {"grid": [GRID[0] | {"m_score": 6}, *GRID[1:]]},
            "#/grid/0/m_score",
            "This must be 5 or less.",
        ),
    ],
    ids=lambda part: part if isinstance(part, str) and part.startswith("#") else "",
)
def test_a_fault_is_refused_with_its_field(
    client: FlaskClient, change: dict[str, Any], pointer: str, said: str
) -> None:
    answer = client.put(PATH, json=RULE | change)
    assert answer.status_code == 422
    assert {"pointer": pointer, "detail": said} in answer.get_json()["errors"]
    assert client.get(PATH).get_json()["is_published"]


def test_a_segment_that_feeds_a_list_stays(
    client: FlaskClient, built_settings: Settings, tenants: list[UUID]
) -> None:
    feed(built_settings, tenants[0], "champions", "Best")
    refused = client.put(PATH, json=RULE)
    assert refused.status_code == 422
    assert refused.get_json()["detail"] == (
        "Segments that feed Klaviyo lists cannot be removed: 'champions' feeds list 'Best'."
    )
    feed(built_settings, tenants[1], "loyal", "Of another tenant")
    kept = [SEGMENTS[0] | {"segment": "champions"}, *SEGMENTS[1:]]
    grid = [cell | {"segment": "champions"} if cell["segment"] == "vip" else cell for cell in GRID]
    assert client.put(PATH, json={"segments": kept, "grid": grid}).status_code == 202

    # Lists take the tenant's segments, and only those.
    feed(built_settings, tenants[0], "asleep", "Sleepers")
    with pytest.raises(InvalidInputError, match="There is no RFM segment 'loyal'") as raised:
        feed(built_settings, tenants[0], "loyal", "Loyal")
    assert raised.value.advice == "Choose one of: rfm:asleep, rfm:champions, rfm:rest"
    back = client.delete(PATH)
    assert back.status_code == 422
    assert "'asleep' feeds list 'Sleepers'" in back.get_json()["detail"]


def test_former_segments_keep_their_customers_and_history(
    client: FlaskClient, built_settings: Settings, tenants: list[UUID]
) -> None:
    """Until the build has applied a rule, customers are in segments of the one before."""
    add_scored_customers(
        built_settings, tenants[0], [("1", "champions", "5"), ("2", "gone", "3"), ("3", "vip", "2")]
    )
    add_history(built_settings, tenants[0], {"2026-06-01": {"1": "champions"}})
    client.put(PATH, json=RULE)
    summary = client.get("/api/admin/segments/rfm").get_json()
    assert [(row["segment"], row["label"], row["customers"]) for row in summary["data"]] == [
        ("asleep", "Asleep", 0),
        ("vip", "VIP", 1),
        ("rest", "The rest", 0),
        ("champions", "Champions", 1),
        ("gone", "gone", 1),
    ]
    assert summary["customers"] == 3
    (day,) = client.get("/api/admin/segments/rfm/history").get_json()["data"]
    assert {size["segment"]: size["customers"] for size in day["sizes"]}["champions"] == 1
    listed = "/api/admin/segments/rfm/customers"
    for name in ("vip", "gone"):
        (found,) = client.get(listed, query_string={"segment": name}).get_json()["data"]
        assert found["segment"] == name
    assert client.get(listed, query_string={"segment": "rest"}).get_json()["data"] == []
    unknown = client.get(listed, query_string={"segment": "loyal"}).get_json()
    assert unknown["errors"] == [
        {"parameter": "segment", "detail": "This must be 'asleep', 'vip' or 'rest'."}
    ]


def test_the_rule_is_printed_changed_and_reset_by_command(
    built_settings: Settings, tenants: list[UUID], tmp_path: Path
) -> None:
    printed = json.loads(quintile(built_settings, "segments", "rule", "--tenant", "north").stdout)
    assert len(printed["grid"]) == 25
    file = tmp_path / "rule.json"
    file.write_text(json.dumps(RULE), encoding="utf-8")
    quintile_process(built_settings, "segments", "set-rule", str(file), "--tenant", "north")
    printed = json.loads(
        quintile_process(built_settings, "segments", "rule", "--tenant", "north").stdout
    )
    assert keys(printed) == ["asleep", "vip", "rest"]
    assert len(printed["grid"]) == 125
    file.write_text(json.dumps({"segments": SEGMENTS, "grid": []}), encoding="utf-8")
    refused = quintile(
        built_settings, "segments", "set-rule", str(file), "--tenant", "north", expect=1
    )
    assert "grid: This must not be empty." in refused.stderr
    quintile_process(built_settings, "segments", "reset-rule", "--tenant", "north")
    with connect(built_settings.database_url) as conn:
        left = conn.execute("select from app.rfm_segments").fetchall()
        runs = conn.execute("select kind, trigger from app.runs").fetchall()
    assert left == []
    assert runs == [{"kind": "build", "trigger": "cli"}]


def test_a_build_applies_a_tenants_rule_to_that_tenant_only(
    client: FlaskClient, built_settings: Settings, tenants: list[UUID], tmp_path: Path
) -> None:
    chosen = ("--select", "+rfm_segment_history", "+rfm_segment_summary", "+rfm_grid")

    def build(as_of: str) -> None:
        given = json.dumps({"as_of": as_of})
        dbt(built_settings.database_url, tmp_path, "run", *chosen, "--vars", given)

    with connect(built_settings.database_url) as conn:
        conn.execute(
            """
            insert into shopify.orders (
                tenant_id, order_id, customer_id, processed_at, currency, total_minor,
                subtotal_minor, source
            )
            select
                tenant_id, n::text, 'c' || n, '2026-06-30'::timestamptz - n * '9 days'::interval,
                'USD', 100 * (n %% 7), 100 * (n %% 7), 'csv'
            from unnest(%s::uuid[]) as tenant_id
            cross join generate_series(1, 20) as n
            """,
            [tenants],
        )
        build("2026-07-01")
        of_south = "select ctid, * from marts.customer_facts where tenant_id = %s order by ctid"
        before = conn.execute(of_south, [tenants[1]]).fetchall()
        published = set(keys(client.get(PATH).get_json()))
        assert {row["segment"] for row in before} <= published | {None}

        client.put(PATH, json=RULE)
        build("2026-07-02")
        assert conn.execute(of_south, [tenants[1]]).fetchall() == before
        scored = conn.execute(
            """
            select r_score, m_score, segment from marts.customer_rfm_segments
            where tenant_id = %s
            """,
            [tenants[0]],
        ).fetchall()
        assert {row["segment"] for row in scored} == {"vip", "asleep", "rest"}
        for row in scored:
            spent_most = "vip" if row["r_score"] > 2 else "asleep"
            assert row["segment"] == (spent_most if row["m_score"] == 5 else "rest")
        (cell,) = conn.execute(
            """
            select segment, segments_by_m_score from marts.rfm_grid
            where tenant_id = %s and r_score = 3 and f_score = 1
            """,
            [tenants[0]],
        ).fetchall()
        assert cell == {"segment": None, "segments_by_m_score": ["rest"] * 4 + ["vip"]}
        summary = "select segment, customers from marts.rfm_segment_summary where tenant_id = %s"
        sizes = {row["segment"]: row["customers"] for row in conn.execute(summary, [tenants[0]])}
        assert set(sizes) == {"vip", "asleep", "rest"}
        assert sum(sizes.values()) == len(scored)
        days = conn.execute(
            """
            select recorded_on::text as on, bool_or(segment = 'champions') as is_published
            from marts.rfm_segment_history where tenant_id = %s group by recorded_on order by 1
            """,
            [tenants[0]],
        ).fetchall()
        assert [tuple(row.values()) for row in days] == [
            ("2026-07-01", True),
            ("2026-07-02", False),
        ]

        # A rule that was broken by hand is not used, and a test says so. The others are built.
        conn.execute("delete from app.rfm_segment_grid where r_score = 1 and m_score = 2")
        build("2026-07-02")
        names = {row["segment"] for row in conn.execute(summary, [tenants[0]])}
        assert "champions" in names
        test = ("test", "--select", "assert_grid_is_complete")
        assert "Got 5 results" in dbt(built_settings.database_url, tmp_path, *test, expect=1)
