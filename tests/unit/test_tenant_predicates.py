"""Every SQL statement of the service names the tenant for each table that it touches.

Row level security isolates tenants without that; this is the second lock.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from service.core.queries import read_statements
from tests.tenant_predicates import unnamed_tables

# Tables without tenants: seeds, the calendar, the project last built, and limits of an account.
COMMON = frozenset(
    {
        "app.built_project",
        "app.klaviyo_windows",
        "marts.currency_exponents",
        "marts.fulfillment_statuses",
        "marts.quintile_days",
        "marts.relay_domains",
        "marts.rfm_segment_grid",
        "marts.rfm_segments",
        "marts.sample_words",
    }
)
# Statements for all tenants: of builds, schedulers and operators, who have roles of their own. The
# service's role sees nothing with them.
FOR_ALL_TENANTS = {
    "builds.delete_done_builds",
    "builds.find_newest_build",
    "builds.has_erased_tenants",
    "builds.list_build_tenants",
    "builds.list_due_builds",
    "builds.list_recorded_instants",
    "builds.list_tenants_to_follow",
    "cli.find_run",
    "cli.list_receipts",
    "cli.list_runs",
    "doctor.count_keys",
    "doctor.count_quarantined",
    "doctor.count_quarantined_records",
    "doctor.list_connected_shops",
    "doctor.list_connections",
    "doctor.list_failing_endpoints",
    "doctor.list_metafield_tenants",
    "doctor.list_stuck_runs",
    "doctor.list_withheld_fields",
    "notifications.list_due_endpoints",
    "notifications.list_tenants_with_builds",
    "notifications.list_tenants_with_member_changes",
    "queue.list_built_tenants",
    "queue.list_freshness",
    "queue.list_time_zones",
    "tenants.add_tenant",
    "tenants.list_tenants",
    "worker.count_unfinished_runs",
    "worker.count_webhooks",
    "worker.fetch_job",
    "worker.find_due_probes",
    "worker.find_due_schedules",
    "worker.list_dead_runs",
    "worker.tenant_sizes",
    "worker.tenant_sizes_unbuilt",
}
PREDICATE = re.compile(r"\b(?:\w+\.)?tenant_id = (?:%\(tenant_id\)s(?:::uuid)?|\w+\.tenant_id\b)")
# An insertion that meets an existing row meets one of its own tenant, which the key leads with.
ON_CONFLICT = re.compile(r"on conflict \([^)]*\) do update.*?(?=\breturning\b|\n\)|\Z)", re.DOTALL)


def findings(name: str, statement: str) -> list[str]:
    return unnamed_tables(statement, COMMON, is_for_all=name in FOR_ALL_TENANTS)


def test_every_statement_names_the_tenant() -> None:
    statements = read_statements()
    found = {name: findings(name, text) for name, text in statements.items()}
    assert {name: tables for name, tables in found.items() if tables} == {}
    assert set(statements) >= FOR_ALL_TENANTS


def test_statements_for_all_tenants_need_to_be_named() -> None:
    statements = read_statements()
    assert all(unnamed_tables(statements[name], COMMON) for name in FOR_ALL_TENANTS)


def without_predicates(statement: str) -> Iterator[tuple[str, str]]:
    """The statement without the predicates on one table's tenant, and that table's alias.

    Predicates without an alias are removed one by one.
    """
    conflicts = [found.span() for found in ON_CONFLICT.finditer(statement)]
    spans: dict[str, list[tuple[int, int]]] = {}
    for found in PREDICATE.finditer(statement):
        if not any(start <= found.start() < end for start, end in conflicts):
            aliases = re.findall(r"(\w+)\.tenant_id", found[0]) or [f"at {found.start()}"]
            for alias in aliases:
                spans.setdefault(alias, []).append(found.span())
    for alias, removed in spans.items():
        changed = statement
        for start, end in reversed(removed):
            changed = f"{changed[:start]}true{changed[end:]}"
        yield changed, alias


def test_a_statement_that_forgets_a_table_is_a_finding() -> None:
    survivors = []
    removed = 0
    for name, text in read_statements().items():
        if name not in FOR_ALL_TENANTS:
            for changed, alias in without_predicates(text):
                removed += 1
                if not findings(name, changed):
                    survivors.append((name, alias))
    assert survivors == []
    assert removed > 600


@pytest.mark.parametrize(
    "statement",
    [
        "select 1 from app.runs as r where r.tenant_id = r.tenant_id",
        "select 1 from app.runs as r where r.tenant_id = %(tenant_id)s or true",
        "select 1 from app.runs as r where not r.tenant_id = %(tenant_id)s",
        "select 1 from app.runs as r where r.tenant_id <> %(tenant_id)s",
        "select 1 from app.runs as r where r.run_id = %(tenant_id)s",
        "select 1 from app.runs as r inner join app.tenants as t on r.tenant_id = t.tenant_id",
        "select 1 from app.runs as r left join app.turns as t on r.tenant_id = %(tenant_id)s",
        "select (select count(*) from app.runs) from app.tenants where tenant_id = %(tenant_id)s",
        "delete from app.runs using app.turns as t where t.tenant_id = %(tenant_id)s",
        "update app.runs set state = 'failed' where run_id = %(run_id)s",
        "insert into app.turns (tenant_id) select %(other)s",
        "insert into app.turns (tenant_id) values (%(tenant_id)s) on conflict (at) do nothing",
    ],
)
def test_a_statement_that_does_not_name_the_tenant_is_a_finding(statement: str) -> None:
    assert unnamed_tables(statement, COMMON)
