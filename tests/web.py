"""What the tests of the web service share: rows in the marts, and clients that are signed in."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from apiflask import APIFlask
from flask import Response, request
from flask.testing import FlaskClient
from psycopg.types.json import Jsonb

from service.app import create_app, open_state
from service.core.config import Settings
from service.core.db import connect, connect_as_owner, transform_url
from service.core.logs import configure_logging
from service.tenants.tokens import create_sign_in_code, create_token

CALCULATED_AT = datetime(2026, 7, 1, tzinfo=UTC)

# Path, method, status, type of problem, and whether it has a Location.
Answered = tuple[str, str, int, str, bool]

# Settings that an application reads only from its state.
_STATE = (
    "database_url",
    "app_database_url",
    "transform_database_url",
    "home",
    "shopify_url",
    "klaviyo_url",
)

# The row of a build, with the time and currency of a tenant's scores.
BUILT = """
    insert into marts.rfm_builds (
        tenant_id, as_of, window_starts_at, window_days, time_zone, currency, currency_exponent
    )
    values (
        %(tenant_id)s, %(at)s::timestamptz, %(at)s::timestamptz - interval '365 days', 365, 'UTC',
        'EUR', 2
    )
    on conflict (tenant_id) do nothing
"""


# The segments of these customers, as a build summarizes them.
SUMMARIZED = """
    insert into marts.rfm_segment_summary (
        tenant_id, segment, priority, customers, customer_share, orders, revenue, revenue_share,
        average_order_value, median_recency_days, repeat_rate, currency, calculated_at,
        reachable_customers, emailable_customers
    )
    select
        tenant_id, segment, row_number() over (order by segment), count(*),
        round(count(*) / sum(count(*)) over (), 4), sum(window_order_count),
        round(sum(window_minor) / 100, 2),
        round(sum(window_minor) / nullif(sum(sum(window_minor)) over (), 0), 4),
        round(sum(window_minor) / 100 / sum(window_order_count), 2), 3, 1, 'EUR', %(at)s,
        count(*) filter (where is_in_shopify),
        count(*) filter (where marketing_state = 'SUBSCRIBED' and email is not null)
    from marts.customer_facts
    where tenant_id = %(tenant_id)s and segment is not null
    group by tenant_id, segment
    on conflict (tenant_id, segment) do update set
        customers = excluded.customers, customer_share = excluded.customer_share,
        orders = excluded.orders, revenue = excluded.revenue,
        revenue_share = excluded.revenue_share,
        average_order_value = excluded.average_order_value,
        reachable_customers = excluded.reachable_customers,
        emailable_customers = excluded.emailable_customers
"""


# Applications that no test uses, by what they are made of.
_idle: dict[Settings, list[APIFlask]] = {}


@contextmanager
def _lent_app(settings: Settings) -> Iterator[APIFlask]:
    """An application with a state of its own.

    To make one takes a fifth of a second, most of it for the routes. So another test's serves once
    more, if only the database and the providers differ: those belong to the state.
    """
    others = dict.fromkeys(_STATE, "")
    idle = _idle.setdefault(replace(settings, **others), [])  # type: ignore[arg-type]
    if idle:
        app = idle.pop()
        configure_logging(settings)
        app.extensions["quintile"] = open_state(settings)
    else:
        app = create_app(settings)
    try:
        yield app
    finally:
        app.extensions["quintile"].pool.close()
    idle.append(app)


@contextmanager
def running_app(settings: Settings) -> Iterator[APIFlask]:
    """The application; its pool is closed afterwards.

    Afterwards, each answer that it gave has to be in its OpenAPI document, with its type if it is a
    problem. A view's own problems are named by ``can_answer`` (service/api/problem_docs.py).
    """
    given: set[Answered] = set()

    def note(response: Response) -> Response:
        if request.url_rule is not None:
            path = re.sub(r"<(?:[^:>]+:)?([^>]+)>", r"{\1}", request.url_rule.rule)
            is_problem = response.mimetype == "application/problem+json"
            kind = response.get_json()["type"] if is_problem else ""
            has_location = "Location" in response.headers
            given.add((path, request.method.lower(), response.status_code, kind, has_location))
        return response

    with _lent_app(settings) as app:
        # The first one is run last, on what is sent.
        app.after_request_funcs[None].insert(0, note)
        try:
            yield app
        finally:
            app.after_request_funcs[None].remove(note)
    missing = undescribed(app, given)
    assert not missing, missing


_document: dict[str, Any] = {}


def openapi_of(app: APIFlask) -> dict[str, Any]:
    """The OpenAPI document, which is that of every application."""
    if not _document:
        _document.update(app.test_client().get("/api/openapi.json").get_json())
    return _document


def undescribed(app: APIFlask, given: set[Answered]) -> list[Answered]:
    """Answers that are not in the OpenAPI document."""
    missing = []
    document = openapi_of(app)
    for path, method, status, kind, has_location in sorted(given):
        operation = document["paths"].get(path, {}).get(method)
        # Not described: pages, HEAD and OPTIONS.
        if operation is None:
            continue
        response = operation["responses"].get(str(status), {})
        if "$ref" in response:
            response = document["components"]["responses"][response["$ref"].rpartition("/")[2]]
        content = response.get("content", {}).get("application/problem+json", {})
        if (
            not response
            or (kind and kind.rpartition("/")[2] not in content.get("examples", {}))
            or has_location != ("Location" in response.get("headers", {}))
        ):
            missing.append((path, method, status, kind, has_location))
    return missing


def token_for(settings: Settings, tenant_id: UUID) -> str:
    """A new API token of a tenant."""
    with connect_as_owner(settings) as conn:
        return create_token(conn, tenant_id, "tests").token


def code_for(
    settings: Settings,
    tenant_id: UUID,
    lifetime: timedelta = timedelta(hours=1),
    person: str | None = None,
) -> str:
    """A new single-use sign-in code of a tenant."""
    with connect_as_owner(settings) as conn:
        return create_sign_in_code(conn, tenant_id, lifetime, person=person)


def client_of(app: APIFlask, settings: Settings, tenant_id: UUID) -> FlaskClient:
    """A client that sends a token of the tenant with every request."""
    client = app.test_client()
    client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {token_for(settings, tenant_id)}"
    return client


def add_scored_customers(
    settings: Settings, tenant_id: UUID, customers: list[tuple[str, str, str]]
) -> None:
    """Put scored customers into the mart: id, segment, net spend in EUR."""
    rows = [
        {
            "tenant_id": tenant_id,
            "customer_id": customer_id,
            "email": f"c{customer_id}@example.com",
            "segment": segment,
            "monetary_total": Decimal(total),
            "at": CALCULATED_AT,
        }
        for customer_id, segment, total in customers
    ]
    with connect(transform_url(settings)) as conn, conn.cursor() as cursor:
        cursor.executemany(
            """
            insert into marts.customer_facts (
                tenant_id, customer_id, email, is_excluded_from_rfm, lifetime_order_count,
                lifetime_minor, window_order_count, window_minor, last_order_at, r_score, f_score,
                m_score, segment
            )
            values (
                %(tenant_id)s, %(customer_id)s, %(email)s, false, 2, 100 * %(monetary_total)s, 2,
                100 * %(monetary_total)s, %(at)s::timestamptz - interval '3 days', 5, 5, 5,
                %(segment)s
            )
            """,
            rows,
        )
        cursor.execute(BUILT, {"tenant_id": tenant_id, "at": CALCULATED_AT})
        cursor.execute(SUMMARIZED, {"tenant_id": tenant_id, "at": CALCULATED_AT})


def add_history(
    settings: Settings, tenant_id: UUID, states: dict[str, dict[str, str | None]]
) -> None:
    """Record RFM on days: by day, the customers and their segments (None: in none)."""
    before: dict[str, str | None] = {}
    with connect(transform_url(settings)) as conn, conn.cursor() as cursor:
        for day, segments in sorted(states.items()):
            cursor.executemany(
                """
                insert into marts.rfm_segment_transitions (
                    tenant_id, customer_id, from_segment, to_segment, as_of
                )
                values (%s, %s, %s, %s, %s::date)
                """,
                [
                    (tenant_id, customer, before.get(customer), segment, day)
                    for customer, segment in segments.items()
                    if before.get(customer) != segment
                ],
            )
            before |= segments
            cursor.execute(
                """
                insert into marts.rfm_segment_history (
                    tenant_id, recorded_on, segment, customers, revenue, currency, as_of
                )
                select
                    %(tenant_id)s, %(day)s::date, s.segment, count(c.segment),
                    10.50 * count(c.segment), 'EUR', %(day)s::date
                from marts.rfm_segments as s
                left join unnest(%(states)s::text[]) as c (segment) on s.segment = c.segment
                group by s.segment
                """,
                {"tenant_id": tenant_id, "day": day, "states": list(segments.values())},
            )


def add_explanations(
    settings: Settings, tenant_id: UUID, reasons: tuple[str, ...] = (), **measured: Any
) -> None:
    """Write a tenant's data quality and score thresholds."""
    values = {"customers": 400, "history_days": 500, "days_without_order": 1} | measured
    with connect(transform_url(settings)) as conn, conn.cursor() as cursor:
        cursor.execute(
            """
            insert into marts.rfm_data_quality (
                tenant_id, verdict, reasons, customers, history_days, days_without_order,
                tied_order_count, tied_share, calculated_at
            )
            values (
                %(tenant_id)s, %(verdict)s, %(reasons)s, %(customers)s, %(history_days)s,
                %(days_without_order)s, 2, 0.625, %(at)s
            )
            """,
            {
                "tenant_id": tenant_id,
                "verdict": "insufficient" if reasons else "sufficient",
                "reasons": list(reasons),
                "at": CALCULATED_AT,
                **values,
            },
        )
        cursor.executemany(
            """
            insert into marts.rfm_thresholds (
                tenant_id, metric, score, cut_value, rule_in_words, customers, currency,
                calculated_at
            )
            values (%s, %s, %s, %s, %s, 7, %s, %s)
            """,
            [
                (tenant_id, metric, score, score, words, currency, CALCULATED_AT)
                for metric, words, currency in (
                    ("monetary", "more than {} EUR", "EUR"),
                    ("recency", "last order within {} days", None),
                    ("frequency", "{} or more orders", None),
                )
                for score, words in ((n, words.format(n)) for n in range(2, 6))
            ],
        )


def add_samples(settings: Settings, tenant_id: UUID, samples: list[dict[str, Any]]) -> None:
    """Put sample orders into the mart; each dictionary overrides the defaults below."""
    defaults: dict[str, Any] = {
        "tenant_id": tenant_id,
        "order_number": None,
        "customer_name": "Ada Example",
        "customer_email": "ada@example.com",
        "is_ugc": True,
        "is_tiktok": False,
        "matched_tags": ["ugc-sample"],
        "matched_patterns": [],
        "price_reason": "free",
        "evidence": "tagged “ugc-sample”; the goods cost nothing",
        "status": "pending",
        "days_waiting": 3,
        "goods_value": Decimal("24.90"),
        "creator_id": None,
        "creator_link": None,
        "channel": "Online Store",
        "line_items": Jsonb([{"title": "Serum", "sku": "S-1", "quantity": 1, "total_minor": 0}]),
        "ordered_at": CALCULATED_AT,
    }
    with connect(transform_url(settings)) as conn, conn.cursor() as cursor:
        cursor.executemany(
            """
            insert into marts.sample_orders (
                tenant_id, order_id, order_number, customer_name, customer_email, is_ugc,
                is_tiktok, matched_tags, matched_patterns, price_reason, evidence, status,
                days_waiting, days_waiting_rank, channel, tags, line_items, goods_value,
                goods_value_rank, currency, creator_id, creator_link, automatic_creator_id,
                automatic_link, ordered_at
            )
            values (
                %(tenant_id)s, %(order_id)s, %(order_number)s, %(customer_name)s,
                %(customer_email)s, %(is_ugc)s, %(is_tiktok)s, %(matched_tags)s,
                %(matched_patterns)s, %(price_reason)s, %(evidence)s, %(status)s,
                %(days_waiting)s, coalesce(%(days_waiting)s, -1), %(channel)s, %(matched_tags)s,
                %(line_items)s, %(goods_value)s, coalesce(100 * %(goods_value)s::numeric, -1),
                'EUR', %(creator_id)s, %(creator_link)s, %(creator_id)s, %(creator_link)s,
                %(ordered_at)s
            )
            """,
            [defaults | sample for sample in samples],
        )


def add_shopify_segments(settings: Settings, tenant_id: UUID, names: list[str]) -> None:
    """Add Shopify segments with the ids 1, 2, …"""
    with connect_as_owner(settings) as conn, conn.cursor() as cursor:
        cursor.executemany(
            """
            insert into shopify.cached_segments (
                tenant_id, segment_id, name, query, member_count, synced_at
            )
            values (%s, %s, %s, 'number_of_orders > 1', 7, %s)
            """,
            [
                (tenant_id, str(number), name, CALCULATED_AT)
                for number, name in enumerate(names, start=1)
            ],
        )
