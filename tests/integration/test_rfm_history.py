"""RFM history: what builds, repeated builds, builds of the past and backfills record."""

from __future__ import annotations

import json
import random
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from service.builds.backfill import backfill, days
from service.core.config import Settings
from service.core.db import Connection, connect, connect_as_owner
from service.core.errors import InvalidInputError
from service.tenants.tenants import add_tenant
from tests.command import environment_of, quintile, quintile_process
from tests.conftest import PROJECT_DIR
from tests.warm_dbt import dbt
from tests.worker import wait_until

RFM_AND_VIEWS = ("--select", "+customer_rfm_segments", "+rfm_segment_history")
# The views are there before the first build, and no variable changes them.
RFM = (*RFM_AND_VIEWS, "--exclude", "config.materialized:view")

TRANSITIONS = """
    select
        t.customer_id, t.from_segment, t.to_segment, (t.as_of at time zone 'UTC')::date::text as on
    from marts.rfm_segment_transitions as t
    inner join app.tenants as n on t.tenant_id = n.tenant_id
    where n.name = %s
    order by t.as_of, t.customer_id
"""
HISTORY = """
    select
        h.recorded_on::text as on, sum(h.customers) as customers, count(*) as segments,
        sum(h.revenue)::text as revenue
    from marts.rfm_segment_history as h
    inner join app.tenants as n on h.tenant_id = n.tenant_id
    where n.name = %s
    group by h.recorded_on
    order by h.recorded_on
"""
# For all pairs of days: rows of the matrix whose sum is not the segment's size on from_on, and
# columns whose sum is not its size on to_on; and the number of pairs.
MOVEMENTS_OFF = """
    with days as (
        select distinct tenant_id, recorded_on from marts.rfm_segment_history
    ),

    pairs as (
        select b.tenant_id, b.recorded_on as from_on, a.recorded_on as to_on
        from days as b
        inner join days as a on b.tenant_id = a.tenant_id and b.recorded_on < a.recorded_on
    ),

    sizes as (
        select p.*, 'row' as kind, h.segment, h.customers
        from pairs as p
        inner join marts.rfm_segment_history as h
            on p.tenant_id = h.tenant_id and p.from_on = h.recorded_on
        union all
        select p.*, 'column' as kind, h.segment, h.customers
        from pairs as p
        inner join marts.rfm_segment_history as h
            on p.tenant_id = h.tenant_id and p.to_on = h.recorded_on
    ),

    sums as (
        select tenant_id, from_on, to_on, 'row' as kind, from_segment as segment,
            sum(customers) as customers
        from marts.rfm_segment_movements
        group by tenant_id, from_on, to_on, from_segment
        union all
        select tenant_id, from_on, to_on, 'column' as kind, to_segment as segment,
            sum(customers) as customers
        from marts.rfm_segment_movements
        group by tenant_id, from_on, to_on, to_segment
    )

    select
        (select count(*) from pairs) as pairs,
        (
            select count(*) from marts.rfm_segment_movements where from_segment <> to_segment
        ) as moves,
        array(
            select (tenant_id, from_on, to_on, kind, segment, z.customers, s.customers)::text
            from sizes as z
            full join sums as s using (tenant_id, from_on, to_on, kind, segment)
            where segment <> 'none' and coalesce(z.customers, -1) <> coalesce(s.customers, 0)
        ) as wrong
"""
CURRENT = """
    select
        r.customer_id, r.segment, r.previous_segment, r.segment_changed_on::text as changed_on,
        r.recency_days
    from marts.customer_rfm_segments as r
    inner join app.tenants as n on r.tenant_id = n.tenant_id
    where n.name = %s
    order by r.customer_id
"""


def rows(conn: Connection, statement: str, name: str = "demo") -> list[tuple[Any, ...]]:
    return [tuple(row.values()) for row in conn.execute(statement, [name]).fetchall()]


def load(settings: Settings, name: str, orders: list[tuple[str, str]]) -> None:
    """Load orders of 1.00 USD by customer and day; add the tenant if it is new."""
    with connect_as_owner(settings) as owner:
        found = owner.execute("select tenant_id from app.tenants where name = %s", [name])
        row = found.fetchone()
        tenant_id = row["tenant_id"] if row else add_tenant(owner, name)
        with owner.cursor() as cursor:
            cursor.executemany(
                """
                insert into shopify.orders (
                    tenant_id, order_id, customer_id, processed_at, currency, total_minor,
                    subtotal_minor, source
                )
                values (%s, %s, %s, %s::timestamptz, 'USD', 100, 100, 'csv')
                """,
                [(tenant_id, f"{who}-{at}", who, f"{at} 12:00+00") for who, at in orders],
            )


# Ann orders once and leaves the window a year later; Bo and Cy keep ordering.
ORDERS = [
    ("ann", "2025-01-10"),
    *[("bo", f"2025-{month:02}-20") for month in range(1, 13)],
    *[("cy", f"2025-{month:02}-15") for month in range(4, 13)],
]


@pytest.fixture
def built(built_settings: Settings, tmp_path: Path) -> Iterator[Build]:
    load(built_settings, "demo", ORDERS)
    with connect(built_settings.database_url) as conn:
        yield Build(built_settings, tmp_path, conn)


class Build:
    """Builds RFM as of a day, on one database."""

    def __init__(self, settings: Settings, target: Path, conn: Connection) -> None:
        self.settings, self.target, self.conn = settings, target, conn

    def __call__(
        self,
        as_of: str,
        *more: str,
        expect: int = 0,
        selection: tuple[str, ...] = RFM,
        **variables: object,
    ) -> str:
        given = json.dumps({"as_of": as_of, "allow_future_as_of": True, **variables})
        return dbt(
            self.settings.database_url,
            *(self.target, "run", *selection, "--vars", given, *more),
            expect=expect,
        )


def test_history_records_only_changes(built: Build) -> None:
    built("2025-04-01")
    first = rows(built.conn, TRANSITIONS)
    assert {who for who, *_ in first} == {"ann", "bo"}
    assert {before for _, before, *_ in first} == {None}

    # The same instant again: no row is added or written.
    placed = built.conn.execute("select ctid, * from marts.rfm_segment_transitions").fetchall()
    sizes = built.conn.execute("select ctid, * from marts.rfm_segment_history").fetchall()
    built("2025-04-01")
    again = built.conn.execute("select ctid, * from marts.rfm_segment_transitions").fetchall()
    assert sorted(map(str, again)) == sorted(map(str, placed))
    again = built.conn.execute("select ctid, * from marts.rfm_segment_history").fetchall()
    assert sorted(map(str, again)) == sorted(map(str, sizes))

    # Ann has left the window: she has no segment, and the log has a transition.
    built("2026-02-01")
    moves = rows(built.conn, TRANSITIONS)
    assert moves[:2] == first
    left = [move for move in moves if move[0] == "ann" and move[3] == "2026-02-01"]
    assert left == [("ann", first[0][2], None, "2026-02-01")]
    assert ("cy", None) in [(who, before) for who, before, *_ in moves]
    assert [who for who, *_ in rows(built.conn, CURRENT)] == ["bo", "cy"]
    assert [(on, customers) for on, customers, *_ in rows(built.conn, HISTORY)] == [
        ("2025-04-01", 2),
        ("2026-02-01", 2),
    ]


def test_rebuilding_an_instant_applies_late_data(built: Build) -> None:
    built("2025-03-01")
    before = rows(built.conn, TRANSITIONS)
    built("2025-06-01")
    load(built.settings, "demo", [("late", "2025-05-30")])
    built("2025-06-01")
    moves = rows(built.conn, TRANSITIONS)
    assert moves[: len(before)] == before
    assert [move[0] for move in moves if move[1] is None and move[3] == "2025-06-01"] == [
        "cy",
        "late",
    ]
    assert len(moves) == len({(who, on) for who, _, _, on in moves})


def test_a_build_of_the_past_does_not_change_history(built: Build) -> None:
    built("2025-03-01")
    built("2025-06-01")
    written = rows(built.conn, TRANSITIONS), rows(built.conn, HISTORY)
    current = rows(built.conn, CURRENT)

    built("2025-04-01")
    assert (rows(built.conn, TRANSITIONS), rows(built.conn, HISTORY)) == written
    looked_back = rows(built.conn, CURRENT)
    assert [(who, recency) for who, *_, recency in looked_back] == [("ann", 80), ("bo", 11)]
    # Also on a day in history, which keeps what it recorded then.
    built("2025-03-01")
    assert (rows(built.conn, TRANSITIONS), rows(built.conn, HISTORY)) == written

    # The next build continues from the end of history.
    built("2025-06-01")
    assert rows(built.conn, CURRENT) == current
    assert (rows(built.conn, TRANSITIONS), rows(built.conn, HISTORY)) == written


def test_a_build_that_stops_half_way_keeps_the_last_good_state(built: Build) -> None:
    built("2025-03-01")
    good = rows(built.conn, CURRENT), rows(built.conn, TRANSITIONS), rows(built.conn, HISTORY)
    load(built.settings, "demo", [("new", "2025-05-30")])

    # Everything before the scores is built; readers see no change.
    built("2025-06-01", "--exclude", "customer_facts+")
    assert (
        rows(built.conn, CURRENT),
        rows(built.conn, TRANSITIONS),
        rows(built.conn, HISTORY),
    ) == good

    # The scores cannot be written: they and their date are kept.
    with connect(built.settings.database_url) as admin:
        admin.execute(
            "alter table marts.customer_facts add constraint stop check (customer_id <> 'new')"
        )
        built("2025-06-01", expect=1)
        assert (
            rows(built.conn, CURRENT),
            rows(built.conn, TRANSITIONS),
            rows(built.conn, HISTORY),
        ) == good
        admin.execute("alter table marts.customer_facts drop constraint stop")

    # The scores are written, the log is not: what is shown is consistent, and the next build, also
    # of a later instant, records the change once.
    built("2025-06-01", "--exclude", "rfm_segment_transitions+", "rfm_segment_history+")
    assert [(who, changed) for who, _, _, changed, _ in rows(built.conn, CURRENT)][-1] == (
        "new",
        "2025-06-01",
    )
    assert rows(built.conn, TRANSITIONS) == good[1]
    built("2025-06-02")
    moves = [move for move in rows(built.conn, TRANSITIONS) if move[0] == "new"]
    assert [(before, on) for _, before, _, on in moves] == [(None, "2025-06-02")]


def test_a_day_is_in_history_only_with_its_transitions(built: Build) -> None:
    """If the log cannot be written, its day gets no sizes, so that the matrix adds up."""
    built("2025-03-01")
    built("2025-04-01")
    good = rows(built.conn, TRANSITIONS), rows(built.conn, HISTORY)
    load(built.settings, "demo", [("new", "2025-05-30")])
    with connect(built.settings.database_url) as admin:
        admin.execute(
            "alter table marts.rfm_segment_transitions"
            " add constraint stop check (customer_id <> 'new')"
        )
        built("2025-06-01", expect=1)
        assert (rows(built.conn, TRANSITIONS), rows(built.conn, HISTORY)) == good
        admin.execute("alter table marts.rfm_segment_transitions drop constraint stop")
    built("2025-06-01")
    assert [on for on, *_ in rows(built.conn, HISTORY)][-1] == "2025-06-01"
    # The sizes at the build before are those of its day.
    before = built.conn.execute(
        "select s.segment from marts.rfm_segment_summary as s"
        " left join marts.rfm_segment_history as h"
        " on s.tenant_id = h.tenant_id and s.segment = h.segment and h.recorded_on = '2025-04-01'"
        " where s.previous_customers is distinct from h.customers"
    )
    assert before.fetchall() == []
    found = built.conn.execute(MOVEMENTS_OFF).fetchone()
    assert found is not None
    assert found["wrong"] == []


SHOWN = (
    CURRENT,
    TRANSITIONS,
    HISTORY,
    "select m.* from marts.rfm_segment_summary as m where %s <> '' order by segment",
    "select m.* from marts.rfm_thresholds as m where %s <> '' order by metric, score",
    "select m.* from marts.rfm_data_quality as m where %s <> ''",
    "select m.* from marts.customers as m where %s <> '' order by customer_id",
)


@pytest.mark.kill
def test_a_killed_build_keeps_the_last_good_state(built: Build) -> None:
    """Killed when everything is written and nothing is committed: readers see no change."""
    built("2025-03-01", "--select", "+marts.rfm", "+customers")
    good = [rows(built.conn, statement) for statement in SHOWN]
    load(built.settings, "demo", [("new", "2025-05-30")])

    command = [sys.executable, "-m", "service", "build", "--as-of", "2025-06-01"]
    with connect(built.settings.database_url) as admin:
        with (
            # The transaction of the scores writes their date last.
            admin.transaction(),
            subprocess.Popen(
                command,
                cwd=PROJECT_DIR,
                env=environment_of(built.settings),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            ) as process,
        ):
            admin.execute("select from marts.rfm_builds for update")
            wait_until(lambda: _waiting(built.conn), "the build dates its scores")
            assert [rows(built.conn, statement) for statement in SHOWN] == good
            process.kill()
        wait_until(lambda: not _building(built.conn), "the build has ended")
        assert [rows(built.conn, statement) for statement in SHOWN] == good

    built("2025-06-01")
    assert "new" in [who for who, *_ in rows(built.conn, CURRENT)]
    assert [on for on, *_ in rows(built.conn, HISTORY)] == ["2025-03-01", "2025-06-01"]


def _building(conn: Connection) -> list[Any]:
    """The state of dbt's connections to this database."""
    return conn.execute(
        """
        select wait_event_type, query from pg_stat_activity
        where datname = current_database() and usename = 'quintile_transform'
        """
    ).fetchall()


def _waiting(conn: Connection) -> bool:
    return any(
        row["wait_event_type"] == "Lock" and "rfm_builds" in row["query"] for row in _building(conn)
    )


def test_a_build_of_one_tenant_does_not_change_the_history_of_others(built: Build) -> None:
    load(built.settings, "other", ORDERS)
    built("2025-03-01")
    written = rows(built.conn, TRANSITIONS, "other"), rows(built.conn, HISTORY, "other")
    built("2025-06-01", tenants=["demo"])
    assert (
        rows(built.conn, TRANSITIONS, "other"),
        rows(built.conn, HISTORY, "other"),
    ) == written
    # Its last customer has left the window: an empty tenant also has history.
    built("2028-01-01", tenants=["demo"])
    assert rows(built.conn, CURRENT) == []
    assert rows(built.conn, HISTORY)[-1] == ("2028-01-01", 0, 6, "0.00")
    assert {to for _, _, to, on in rows(built.conn, TRANSITIONS) if on == "2028-01-01"} == {None}
    assert rows(built.conn, CURRENT, "other") != []


def test_erased_tenants_leave_no_rows_and_dropped_tables_are_rebuilt(built: Build) -> None:
    load(built.settings, "other", ORDERS)
    built("2025-03-01")
    built("2025-06-01")
    before = rows(built.conn, TRANSITIONS), rows(built.conn, CURRENT)
    ended = """
        select t.customer_id, t.as_of, t.ended_as_of
        from marts.rfm_segment_transitions as t
        inner join app.tenants as n on t.tenant_id = n.tenant_id
        order by 1, 2
    """
    with connect(built.settings.database_url) as admin:
        admin.execute("delete from app.tenants where name = 'other'")
        # A log of an older release, without the end of its rows, and a dropped table.
        expected = admin.execute(ended).fetchall()
        admin.execute("alter table marts.rfm_segment_transitions drop column ended_as_of cascade")
        admin.execute("drop table marts.customer_facts cascade")
        # The views that read them are lost, too.
        built("2025-06-01", selection=RFM_AND_VIEWS)
        assert (rows(built.conn, TRANSITIONS), rows(built.conn, CURRENT)) == before
        assert any(row["ended_as_of"] for row in expected)
        assert admin.execute(ended).fetchall() == expected
        for table in (
            "customer_facts",
            "rfm_builds",
            "rfm_segment_transitions",
            "rfm_segment_history",
        ):
            left = admin.execute(
                f"select count(distinct tenant_id) as n from marts.{table}"  # type: ignore[arg-type]
            ).fetchone()
            assert left == {"n": 1}, table


def test_a_backfill_equals_builds_day_by_day(built: Build) -> None:
    """One run of many instants records the same as a run for each of them in order."""
    for as_of in ("2025-02-01", "2025-03-01", "2025-04-01", "2026-01-15"):
        built(as_of)
    one_by_one = [rows(built.conn, statement) for statement in (TRANSITIONS, HISTORY, CURRENT)]

    load(built.settings, "other", ORDERS)
    done = quintile(
        *(built.settings, "backfill", "--from", "2025-02-01", "--to", "2025-04-01"),
        *("--every", "month", "--as-of", "2026-01-15"),
    )
    assert "history starts on 2025-02-01: 3 days" in done.stderr
    checked = quintile(built.settings, "doctor").stdout
    assert "demo: last build" in checked
    assert "no build yet" not in checked
    for name in ("demo", "other"):
        at_once = [
            rows(built.conn, statement, name) for statement in (TRANSITIONS, HISTORY, CURRENT)
        ]
        assert at_once == one_by_one

    # Instants after the last day are computed again, and the current state stays.
    assert backfill(
        built.settings,
        first=date(2025, 2, 1),
        last=date(2025, 3, 1),
        every="month",
        tenants=["demo"],
        quiet=True,
    ) == len(["2025-02-01", "2025-03-01", "2025-04-01"])
    assert [
        rows(built.conn, statement) for statement in (TRANSITIONS, HISTORY, CURRENT)
    ] == one_by_one

    # An earlier start changes what follows: all customers enter on the first day.
    backfill(
        built.settings,
        first=date(2025, 1, 15),
        last=date(2025, 1, 15),
        tenants=["demo"],
        quiet=True,
    )
    history = rows(built.conn, HISTORY)
    assert [on for on, *_ in history] == [
        *("2025-01-15", "2025-02-01", "2025-03-01", "2025-04-01", "2026-01-15"),
    ]
    assert rows(built.conn, CURRENT)[0][0] == one_by_one[2][0][0]


def test_a_backfills_days_begin_in_each_tenants_time_zone(built: Build) -> None:
    """Midnight in UTC is still the day before in New York."""
    load(built.settings, "other", ORDERS)
    with connect_as_owner(built.settings) as owner:
        owner.execute(
            """
            update app.rfm_settings as s set time_zone = 'America/New_York'
            from app.tenants as t
            where s.tenant_id = t.tenant_id and t.name = 'demo'
            """
        )
    built("2026-01-15T12:00Z")
    asked = ["2025-02-01", "2025-03-01", "2025-04-01"]
    # The second backfill keeps what is after its last day.
    for last in (date(2025, 4, 1), date(2025, 3, 1)):
        backfill(built.settings, first=date(2025, 2, 1), last=last, every="month", quiet=True)
        for name in ("demo", "other"):
            assert [on for on, *_ in rows(built.conn, HISTORY, name)] == [*asked, "2026-01-15"]


def test_a_backfill_removes_records_of_a_future_build(built: Build) -> None:
    """Plain dbt builds a future instant when asked to; commands refuse it, and repair history."""
    built("2025-06-01")
    built("2999-01-01")
    # Every build until then counts as one of the past.
    built("2025-09-01")
    assert [on for on, *_ in rows(built.conn, HISTORY)] == ["2025-06-01", "2999-01-01"]

    quintile_process(built.settings, "backfill", "--from", "2025-07-01", "--to", "2025-07-01")
    *before, now = (on for on, *_ in rows(built.conn, HISTORY))
    assert before == ["2025-06-01", "2025-07-01"]
    assert now < "2999-01-01"
    assert {on for _, _, _, on in rows(built.conn, TRANSITIONS)} <= {*before, now}

    quintile(built.settings, "build")
    recorded = built.conn.execute(
        "select recorded_until = as_of as is_newest from marts.rfm_builds"
    )
    assert recorded.fetchall() == [{"is_newest": True}]


def test_movements_between_any_two_days_add_up_to_segment_sizes(built: Build) -> None:
    """With different first days, days built twice, builds of the past and a backfill."""
    rng = random.Random(7)  # noqa: S311
    for name in ("demo", "other"):
        first = date(2024, 6, 1)
        made = {
            (f"c{int(80 * rng.random() ** 2)}", str(first + timedelta(rng.randrange(500))))
            for _ in range(400)
        }
        load(built.settings, name, sorted(made))
    built("2025-08-01")
    built("2025-10-01T03:00Z", tenants=["demo"])
    built("2025-10-01T21:00Z")
    built("2025-10-01T12:00Z", tenants=["demo"])
    # Its last customer has left the window.
    built("2028-01-01", tenants=["other"])

    def check(pairs: int) -> None:
        found = built.conn.execute(MOVEMENTS_OFF).fetchone()
        assert found is not None
        assert found["wrong"] == []
        assert found["pairs"] == pairs
        assert found["moves"] > pairs

    check(pairs=1 + 3)
    backfill(
        built.settings,
        first=date(2025, 5, 1),
        last=date(2025, 9, 30),
        every="month",
        tenants=["demo"],
        quiet=True,
    )
    # The first days of May to September, and the existing day.
    check(pairs=15 + 3)


def test_a_query_for_one_tenant_reads_only_its_rows(built: Build) -> None:
    """Conditions are applied to the tables, not to a result for all tenants."""
    built("2025-08-01")
    built("2025-10-01")
    tenant_id = built.conn.execute("select tenant_id::text from app.tenants").fetchone()
    assert tenant_id is not None
    for statement in (
        """
        select * from marts.rfm_segment_movements
        where tenant_id = %(tenant_id)s and from_on = '2025-08-01' and to_on = '2025-10-01'
        """,
        """
        select previous_segment, segment_changed_on from marts.customer_rfm_segments
        where tenant_id = %(tenant_id)s and customer_id = 'ann'
        """,
    ):
        plan = "\n".join(
            str(row["QUERY PLAN"])
            for row in built.conn.execute(f"explain (costs off) {statement}", tenant_id)
        )
        assert "CTE Scan" not in plan
        scans = re.findall("(?:Seq|Index|Index Only|Heap) Scan", plan)
        assert 2 <= len(scans) <= plan.count("(tenant_id = "), plan


def test_impossible_days_of_a_backfill_are_refused(settings: Settings) -> None:
    for first, last, message in [
        (date(2026, 1, 2), date(2026, 1, 1), "is before the first"),
        (date(2026, 1, 1), date(2999, 1, 1), "is in the future"),
        (date(2000, 1, 1), date(2026, 1, 1), "more than 750"),
    ]:
        with pytest.raises(InvalidInputError, match=message):
            backfill(settings, first=first, last=last, every="day")


def test_steps_of_a_backfill_are_days_weeks_and_months() -> None:
    assert days(date(2026, 1, 30), date(2026, 2, 1), "day") == [
        date(2026, 1, 30),
        date(2026, 1, 31),
        date(2026, 2, 1),
    ]
    assert days(date(2026, 1, 1), date(2026, 1, 21), "week") == [
        date(2026, 1, 1),
        date(2026, 1, 8),
        date(2026, 1, 15),
    ]
    assert days(date(2026, 1, 31), date(2026, 4, 1), "month") == [
        date(2026, 1, 31),
        date(2026, 2, 28),
        date(2026, 3, 31),
    ]
