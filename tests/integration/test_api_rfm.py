"""RFM data quality, thresholds, history and movements over the API."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
from apiflask import APIFlask
from flask.testing import FlaskClient

from service.core.config import Settings
from service.core.db import connect, transform_url
from tests.web import (
    add_explanations,
    add_history,
    add_scored_customers,
    client_of,
    running_app,
)

RFM = "/api/admin/segments/rfm"
STATES: dict[str, dict[str, str | None]] = {
    "2026-05-01": {"1": "new", "2": "new", "3": "loyal"},
    "2026-06-20": {"1": "loyal", "2": "new", "3": "loyal"},
    "2026-07-01": {"1": "loyal", "2": "hibernating", "3": None, "4": "new"},
}


@pytest.fixture
def settings(built_settings: Settings) -> Settings:
    return built_settings


@pytest.fixture
def client(app: APIFlask, settings: Settings, tenants: list[UUID]) -> FlaskClient:
    return client_of(app, settings, tenants[0])


def moves(answer: dict[str, Any]) -> dict[tuple[str, str], int]:
    return {(row["from_segment"], row["to_segment"]): row["customers"] for row in answer["data"]}


def test_responses_are_empty_before_the_first_build(client: FlaskClient) -> None:
    quality = client.get(f"{RFM}/quality").get_json()
    assert (quality["verdict"], quality["reasons"], quality["customers"]) == (None, [], None)
    assert client.get(f"{RFM}/thresholds").get_json() == {
        "data": [],
        "calculated_at": None,
        "order_limit": None,
    }
    nothing = {
        "data": [],
        "order_limit": None,
        "from_on": None,
        "to_on": None,
        "first_recorded_on": None,
        "last_recorded_on": None,
    }
    for path in ("history", "movements"):
        assert client.get(f"{RFM}/{path}").get_json() == nothing
        assert client.get(f"{RFM}/{path}?from=2026-01-01&to=2026-02-01").get_json() == nothing


def test_insufficient_data_has_reasons_and_advice(
    client: FlaskClient, settings: Settings, tenants: list[UUID]
) -> None:
    add_explanations(
        settings,
        tenants[0],
        (
            *("few_customers", "short_history", "limited_history", "no_recent_order"),
            *("mostly_tied", "something_new"),
        ),
        customers=1,
        history_days=45,
        days_without_order=None,
    )
    answer = client.get(f"{RFM}/quality").get_json()
    assert answer["verdict"] == "insufficient"
    assert [reason["in_words"] for reason in answer["reasons"]] == [
        "Only 1 customer ordered in the window.",
        "The first order is only 45 days old.",
        "The orders reach back no further than Shopify shows without the scope read_all_orders.",
        "There is no order yet.",
        "62% of customers have the same number of orders, 2.",
        "Something new.",
    ]
    assert all(reason["advice"] for reason in answer["reasons"][:-1])
    assert (answer["customers"], answer["calculated_at"]) == (1, "2026-07-01T00:00:00Z")


def test_thresholds_are_sorted_by_metric_and_score(
    client: FlaskClient, settings: Settings, tenants: list[UUID]
) -> None:
    add_explanations(settings, tenants[0])
    answer = client.get(f"{RFM}/thresholds").get_json()
    assert [(row["metric"], row["score"]) for row in answer["data"]] == [
        (metric, score) for metric in ("recency", "frequency", "monetary") for score in (5, 4, 3, 2)
    ]
    assert answer["data"][-1] == {
        "metric": "monetary",
        "score": 2,
        "rule_in_words": "more than 2 EUR",
        "cut_value": "2",
        "currency": "EUR",
        "customers": 7,
    }


def test_history_has_every_segments_size_on_every_recorded_day(
    client: FlaskClient, settings: Settings, tenants: list[UUID]
) -> None:
    days = {"2024-01-01": {"1": "new"}, "2025-03-01": {"1": "loyal"}, **STATES}
    add_history(settings, tenants[0], days)
    answer = client.get(f"{RFM}/history?from=2026-05-02").get_json()
    assert [day["recorded_on"] for day in answer["data"]] == sorted(STATES)
    last = answer["data"][-1]
    assert [(size["segment"], size["customers"], size["revenue"]) for size in last["sizes"]] == [
        ("champions", 0, "0.00"),
        ("loyal", 1, "10.50"),
        ("new", 1, "10.50"),
        ("at_risk", 0, "0.00"),
        ("hibernating", 1, "10.50"),
        ("potential", 0, "0.00"),
    ]
    assert (last["as_of"], last["currency"]) == ("2026-07-01T00:00:00Z", "EUR")
    assert (answer["first_recorded_on"], answer["last_recorded_on"]) == ("2024-01-01", "2026-07-01")
    # The default starts at the newest recorded day that is at least a year old.
    all_days = client.get(f"{RFM}/history").get_json()
    assert len(all_days["data"]) == 1 + len(STATES)


def test_movements_between_any_two_dates(
    client: FlaskClient, app: APIFlask, settings: Settings, tenants: list[UUID]
) -> None:
    add_history(settings, tenants[0], STATES)
    add_history(settings, tenants[1], {"2026-06-01": {"9": "new"}, "2026-07-01": {"9": "loyal"}})

    # Default: from the newest recorded day at least 30 days before the newest day.
    answer = client.get(f"{RFM}/movements").get_json()
    assert (answer["from_on"], answer["to_on"]) == ("2026-05-01", "2026-07-01")
    assert moves(answer) == {
        ("new", "loyal"): 1,
        ("new", "hibernating"): 1,
        ("loyal", "none"): 1,
        ("none", "new"): 1,
    }
    # For a date without a recorded day, the newest day before it is used.
    answer = client.get(f"{RFM}/movements?from=2026-06-19&to=2026-06-30").get_json()
    assert (answer["from_on"], answer["to_on"]) == ("2026-05-01", "2026-06-20")
    assert moves(answer) == {("new", "loyal"): 1, ("new", "new"): 1, ("loyal", "loyal"): 1}
    # Thirty days earlier is before the history, so its first day is used.
    answer = client.get(f"{RFM}/movements?to=2026-05-20").get_json()
    assert (answer["from_on"], answer["to_on"], answer["data"]) == ("2026-05-01", "2026-05-01", [])
    assert (answer["first_recorded_on"], answer["last_recorded_on"]) == ("2026-05-01", "2026-07-01")
    assert client.get(f"{RFM}/movements?to=9999-12-31").get_json()["to_on"] == "2026-07-01"

    other = client_of(app, settings, tenants[1]).get(f"{RFM}/movements").get_json()
    assert moves(other) == {("new", "loyal"): 1}


def test_one_day_of_history_has_no_movements(
    client: FlaskClient, settings: Settings, tenants: list[UUID]
) -> None:
    add_history(settings, tenants[0], {"2026-07-01": {"1": "new"}})
    answer = client.get(f"{RFM}/movements").get_json()
    assert (answer["data"], answer["from_on"], answer["to_on"]) == ([], "2026-07-01", "2026-07-01")


@pytest.mark.parametrize("path", ["history", "movements"])
@pytest.mark.parametrize(
    ("query", "parameter", "said"),
    [
        ("from=2026-06-02&to=2026-06-01", "from", "The first date is after the last date."),
        ("to=2026-04-30", "to", "History begins on 2026-05-01."),
        ("from=2026-04-30", "from", "History begins on 2026-05-01."),
        ("from=2026-02-30", "from", "This is not a date like 2026-12-31."),
        ("to=1782864000", "to", "This is not a date like 2026-12-31."),
        ("days=7", "days", "There is no such field."),
    ],
)
def test_invalid_dates_are_refused_with_the_parameter(
    client: FlaskClient,
    settings: Settings,
    tenants: list[UUID],
    path: str,
    query: str,
    parameter: str,
    said: str,
) -> None:
    add_history(settings, tenants[0], STATES)
    answer = client.get(f"{RFM}/{path}?{query}")
    assert answer.status_code == 422
    assert answer.get_json()["errors"] == [{"parameter": parameter, "detail": said}]


def test_a_slow_movement_matrix_does_not_block_the_page(
    settings: Settings, tenants: list[UUID]
) -> None:
    add_history(settings, tenants[0], STATES)
    with connect(transform_url(settings)) as conn:
        # Slow, and used only by the matrix.
        conn.execute(
            """
            create or replace view marts.rfm_segment_movements with (security_invoker) as
            select h.tenant_id, h.recorded_on as from_on, h.recorded_on as to_on, 'new' as
                from_segment, 'new' as to_segment, length(pg_sleep(9)::text) as customers
            from marts.rfm_segment_history as h
            """
        )
    with running_app(replace(settings, statement_timeout_ms=1500)) as app:
        client = client_of(app, settings, tenants[0])
        page = client.get("/admin/segments?tab=rfm&from=2026-05-01&to=2026-05-01")
        assert page.status_code == 200
        assert "Choose dates closer together." in page.text
        assert "Score cut-offs" in page.text


def test_too_long_a_history_is_refused(
    client: FlaskClient, settings: Settings, tenants: list[UUID]
) -> None:
    add_history(settings, tenants[0], {"2020-01-01": {"1": "new"}, **STATES})
    answer = client.get(f"{RFM}/history?from=2020-01-01")
    assert answer.status_code == 422
    assert answer.get_json()["errors"][0]["parameter"] == "from"


def test_customers_have_their_last_segment_change(
    client: FlaskClient, settings: Settings, tenants: list[UUID]
) -> None:
    add_history(settings, tenants[0], STATES)
    add_scored_customers(
        settings, tenants[0], [("1", "loyal", "3"), ("2", "hibernating", "2"), ("4", "new", "1")]
    )
    data = client.get(f"{RFM}/customers").get_json()["data"]
    assert [
        (row["customer_id"], row["previous_segment"], row["segment_changed_on"]) for row in data
    ] == [("1", "new", "2026-06-20"), ("2", "new", "2026-07-01"), ("4", None, "2026-07-01")]
