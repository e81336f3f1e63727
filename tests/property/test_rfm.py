"""The models agree with the definition on stores at random, all of them in one run of dbt."""

from __future__ import annotations

import json
import random
from collections import defaultdict
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from service.core.config import Settings
from service.core.db import Connection, connect
from service.shopify.loading import load_orders
from tests.conftest import Cluster
from tests.property.stores import AS_OF, SECOND, Answer, Store, batches, by_definition
from tests.warm_dbt import dbt

STORES = 60

# A model run takes seconds, so a failing batch is shown as it is instead of being made smaller.
PROFILE = settings(
    # The first example is always the simplest there is.
    max_examples=3,
    deadline=None,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=list(HealthCheck),
)

CUSTOMERS = """
    select
        tenant_id, customer_id, r_score, f_score, m_score, segment, recency_days, frequency_count,
        monetary_total * 100 as spent, last_order_at
    from marts.customer_rfm_segments
"""
BY_WINDOW = """
    select
        tenant_id, window_days, customer_id, r_score, f_score, m_score, segment, recency_days,
        frequency_count, monetary_total * 100 as spent, last_order_at
    from marts.rfm_scores_by_window
"""
EXCLUDED = "select tenant_id, order_id, primary_reason, exclusion_reasons from {}"
SIZES = """
    select tenant_id, segment, customers, revenue * 100 as spent
    from marts.rfm_segment_history where as_of = %(at)s
"""
# Where everybody stood, by the log alone.
STANDING = """
    select tenant_id, customer_id, to_segment as segment
    from marts.rfm_segment_transitions
    where
        as_of <= %(at)s
        and (ended_as_of is null or ended_as_of > %(at)s)
        and to_segment is not null
"""
SEGMENTS = ("champions", "loyal", "new", "at_risk", "hibernating", "potential")
THRESHOLDS = "select tenant_id, metric, score, cut_value, cut_minor, cut_at from {}"


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("dbt")


def add_tenant(conn: Connection, name: str) -> UUID:
    row = conn.execute(
        "insert into app.tenants (name, currency) values (%s, 'USD') returning tenant_id", [name]
    ).fetchone()
    assert row is not None
    tenant_id: UUID = row["tenant_id"]
    conn.execute("insert into app.samples_config (tenant_id) values (%s)", [tenant_id])
    return tenant_id


def land(
    conn: Connection, tenant_id: UUID, store: Store, as_of: datetime, order_of_rows: list[int]
) -> None:
    """Give a tenant the store's settings and orders, in the order that is given, and no others."""
    conn.execute(
        """
        insert into app.rfm_settings (
            tenant_id, window_days, minimum_minor, is_sample_counted, excluded_customer_ids,
            excluded_domains, relay_domains, additional_window_days
        )
        values (%s, %s, %s, %s, %s, %s, %s, %s)
        on conflict (tenant_id) do update set
            window_days = excluded.window_days,
            minimum_minor = excluded.minimum_minor,
            is_sample_counted = excluded.is_sample_counted,
            excluded_customer_ids = excluded.excluded_customer_ids,
            excluded_domains = excluded.excluded_domains,
            relay_domains = excluded.relay_domains,
            additional_window_days = excluded.additional_window_days
        """,
        [
            *(tenant_id, store.window_days, store.minimum, store.is_sample_counted),
            *(list(store.excluded_customers), list(store.excluded_domains)),
            *(list(store.relay_domains), list(store.additional_windows)),
        ],
    )
    rows = [
        {
            "order_id": str(index),
            "customer_id": order.customer,
            "customer_email": f"someone@{order.domain}",
            "processed_at": (as_of - order.age).isoformat(),
            "currency": order.currency,
            "total_minor": order.total,
            "subtotal_minor": order.total,
            "refunded_minor": order.refunded,
            "current_total_minor": order.current_total,
            "financial_status": order.status,
            "cancelled_at": AS_OF.isoformat() if order.is_cancelled else None,
            "is_test": order.is_test,
            "tags": ["ugc"] if order.is_sample else [],
            "line_items": [],
            "shopify_updated_at": AS_OF.isoformat(),
        }
        for index, order in ((index, store.orders[index]) for index in order_of_rows)
    ]
    # Later than any deletion, which an order that is there again outlives.
    load_orders(conn, tenant_id, rows, datetime.max.replace(tzinfo=UTC))
    conn.execute(
        """
        update shopify.orders set deleted_at = now(), landed_xid = default
        where tenant_id = %s and order_id::int >= %s and deleted_at is null
        """,
        [tenant_id, len(store.orders)],
    )


@given(stores=batches(STORES))
@PROFILE
def test_the_models_say_what_the_definition_says(
    cluster: Cluster, built_template: str, target: Path, stores: list[Store]
) -> None:
    """Also after some of everything has changed, when a build reads the changes only."""
    with cluster.database(built_template) as database:
        with connect(database.database_url) as conn:
            ids = [add_tenant(conn, f"store-{number}") for number in range(STORES)]
            twins = [add_tenant(conn, f"twin-{number}") for number in range(STORES)]
        build_and_compare(database, target, ids, twins, stores, AS_OF)
        changed = [
            store.changed_into(stores[number - 1], random.Random(number))  # noqa: S311
            for number, store in enumerate(stores)
        ]
        as_of = AS_OF + timedelta(days=2)
        build_and_compare(database, target, ids, twins, changed, as_of)
        backfill_and_compare(database, target, ids, changed, as_of)


def backfill_and_compare(
    database: Settings, target: Path, ids: list[UUID], stores: list[Store], as_of: datetime
) -> None:
    """Rewrite history, and compare each of its days with the definition as of that day."""
    looks_back = [timedelta(400), timedelta(30), timedelta(1), timedelta(0)]
    variables = {
        "as_of": as_of.isoformat(),
        "backfill": [(as_of - by).isoformat() for by in looks_back if by],
    }
    chosen = ("+rfm_segment_transitions", "+rfm_segment_history")
    dbt(
        database.database_url,
        *(target, "run", "--select", *chosen, "--vars", json.dumps(variables)),
    )
    with connect(database.database_url) as conn:
        for by in looks_back:
            at = {"at": as_of - by}
            sizes: dict[UUID, dict[str, tuple[int, int]]] = defaultdict(dict)
            for row in conn.execute(SIZES, at).fetchall():
                sizes[row["tenant_id"]][row["segment"]] = row["customers"], row["spent"]
            standing: dict[UUID, dict[str, str]] = defaultdict(dict)
            for row in conn.execute(STANDING, at).fetchall():
                standing[row["tenant_id"]][row["customer_id"]] = row["segment"]
            for store, tenant_id in zip(stores, ids, strict=True):
                expected = by_definition(store.earlier(by)).customers
                assert standing[tenant_id] == {
                    customer_id: one.segment for customer_id, one in expected.items()
                }, (store, by)
                assert sizes[tenant_id] == {
                    segment: (
                        sum(one.segment == segment for one in expected.values()),
                        sum(one.spent for one in expected.values() if one.segment == segment),
                    )
                    for segment in SEGMENTS
                }, (store, by)


def build_and_compare(
    database: Settings,
    target: Path,
    ids: list[UUID],
    twins: list[UUID],
    stores: list[Store],
    as_of: datetime,
) -> None:
    """Land the stores, build, and hold every mart to the definition; ages count from as_of."""
    with connect(database.database_url) as conn, conn.transaction():
        for number, store in enumerate(stores):
            rows = list(range(len(store.orders)))
            land(conn, ids[number], store, as_of, rows)
            # The same orders in another order: equal customers must get equal scores.
            random.Random(number).shuffle(rows)  # noqa: S311
            land(conn, twins[number], store, as_of, rows)
    chosen = (
        "+customer_facts +customer_rfm_segments +rfm_excluded_orders +rfm_thresholds"
        " +rfm_scores_by_window"
    )
    variables = f'{{"as_of": "{as_of.isoformat()}"}}'
    dbt(
        database.database_url,
        *(target, "run", "--select", *chosen.split(), "--vars", variables),
    )
    found = read(database)
    for store, tenant_id, twin_id in zip(stores, ids, twins, strict=True):
        expected = by_definition(store)
        assert found.customers[tenant_id] == rows_of(expected, as_of), store
        assert found.excluded[tenant_id] == expected.excluded, store
        assert found.customers[twin_id] == found.customers[tenant_id], store
        assert found.windows[tenant_id] == windows_of(store, as_of), store
        assert found.excluded[twin_id] == expected.excluded, store
        assert_cuts_explain_scores(found, tenant_id, expected, store, as_of)


class Found:
    """What the marts hold, by tenant."""

    def __init__(self) -> None:
        self.customers: dict[UUID, dict[str, tuple[object, ...]]] = defaultdict(dict)
        self.windows: dict[UUID, dict[int, dict[str, tuple[object, ...]]]] = defaultdict(dict)
        self.excluded: dict[UUID, dict[int, set[str]]] = defaultdict(dict)
        self.cuts: dict[UUID, dict[tuple[str, int], dict[str, object]]] = defaultdict(dict)


def read(database: Settings) -> Found:
    found = Found()
    with connect(database.database_url) as conn:
        for row in conn.execute(CUSTOMERS).fetchall():
            tenant_id, customer_id, *rest = row.values()
            found.customers[tenant_id][customer_id] = tuple(rest)
        for row in conn.execute(BY_WINDOW).fetchall():
            tenant_id, window_days, customer_id, *rest = row.values()
            found.windows[tenant_id].setdefault(window_days, {})[customer_id] = tuple(rest)
        for row in conn.execute(EXCLUDED.format("marts.rfm_excluded_orders")).fetchall():
            reasons = row["exclusion_reasons"]
            assert row["primary_reason"] == reasons[0]
            assert len(reasons) == len(set(reasons))
            found.excluded[row["tenant_id"]][int(row["order_id"])] = set(reasons)
        for row in conn.execute(THRESHOLDS.format("marts.rfm_thresholds")).fetchall():
            found.cuts[row["tenant_id"]][row["metric"], row["score"]] = row
    return found


def rows_of(answer: Answer, as_of: datetime) -> dict[str, tuple[object, ...]]:
    """The definition's answer in the columns of the mart."""
    return {
        customer_id: (
            *one.scores,
            one.segment,
            one.last.days,
            one.orders,
            one.spent,
            as_of - one.last,
        )
        for customer_id, one in answer.customers.items()
    }


def windows_of(store: Store, as_of: datetime) -> dict[int, dict[str, tuple[object, ...]]]:
    """The scores by each window's length, as the definition has them with that window."""
    scored = {
        days: rows_of(by_definition(replace(store, window_days=days)), as_of)
        for days in (store.window_days, *store.additional_windows)
    }
    return {days: rows for days, rows in scored.items() if rows}


def assert_cuts_explain_scores(
    found: Found, tenant_id: UUID, expected: Answer, store: Store, as_of: datetime
) -> None:
    """Counting the cut values that a customer passes gives the score."""
    cuts = found.cuts[tenant_id]
    for one in expected.customers.values():
        passed = (
            sum(as_of - one.last >= cuts["recency", score]["cut_at"] for score in range(2, 6)),
            sum(one.orders > cuts["frequency", score]["cut_value"] for score in range(2, 6)),
            sum(one.spent > cuts["monetary", score]["cut_minor"] for score in range(2, 6)),
        )
        assert tuple(1 + number for number in passed) == one.scores, store


def test_the_definition_itself_on_a_store_that_fits_on_a_hand() -> None:
    """Five customers, counted by hand, keep the definition honest."""
    from tests.property.stores import Order

    store = Store(
        orders=(
            Order("a", timedelta(1), 100),
            Order("b", timedelta(2), 200),
            Order("b", timedelta(9), 200),
            Order("c", timedelta(2), 100),
            Order("d", timedelta(4), 900, refunded=100),
            Order("e", timedelta(365), 900),
            Order("e", timedelta(365) + SECOND, 900),
        )
    )
    answer = by_definition(store)
    assert {name: one.scores for name, one in answer.customers.items()} == {
        "a": (5, 1, 1),
        "b": (4, 5, 3),
        "c": (4, 1, 1),
        "d": (2, 1, 4),
        "e": (1, 1, 5),
    }
    assert answer.excluded == {6: {"outside_window"}}
