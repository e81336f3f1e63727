"""Builds of the models, and RFM history of past days."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Literal
from uuid import UUID

import click

from service.cli.console import Result, echo, report_result, result_option, warn_order_limit
from service.core.config import Settings
from service.core.db import Pool, connect_as_owner, find_tenant, open_pool, tenant_transaction
from service.queue.runs import Builds, get_run, record_runs, start_builds
from service.tenants.tenants import list_tenants

_DAY = click.DateTime(["%Y-%m-%d"])


@click.command()
@click.option("--tenant", "names", multiple=True, metavar="T", help="Only these tenants.")
@click.option(
    "--as-of",
    metavar="TS",
    help="Build as of this date or time, at most a day ahead; now otherwise.",
)
@click.option("--full-refresh", is_flag=True, help="Build every model anew.")
@result_option
@click.pass_obj
def build(
    settings: Settings,
    names: tuple[str, ...],
    as_of: str | None,
    full_refresh: bool,
    as_json: bool,
) -> None:
    """Build and test the models: a thin wrapper on dbt build.

    Exits 3 when another process is building a tenant already, and nothing failed.
    """
    from service.builds.run import build_and_record, parse_as_of

    with report_result("build", as_json=as_json) as result, open_pool(settings) as pool:
        if as_of is not None:
            parse_as_of(as_of)
        chosen = _chosen_tenants(settings, names)
        builds = start_builds(pool, chosen.values(), "cli")
        free = _free_tenants(chosen, builds)
        with _added_runs(pool, chosen, builds, result):
            if free or not chosen:
                build_and_record(
                    settings,
                    pool,
                    builds.mine,
                    tenants=names if len(free) == len(chosen) else free,
                    as_of=as_of,
                    full_refresh=full_refresh,
                )
        for name, tenant_id in chosen.items():
            with tenant_transaction(pool, tenant_id, read_only=True) as conn:
                warn_order_limit(conn, name, tenant_id)


def _chosen_tenants(settings: Settings, names: Iterable[str]) -> dict[str, UUID]:
    """Ids of the tenants named, or of all, by name."""
    with connect_as_owner(settings) as conn:
        known = {row["name"]: row["tenant_id"] for row in list_tenants(conn)}
        return {name: find_tenant(conn, name) for name in names} or known


def _free_tenants(chosen: Mapping[str, UUID], builds: Builds) -> list[str]:
    """Names of the tenants whose builds are this process's; the others are being built already."""
    return [name for name, tenant_id in chosen.items() if tenant_id in builds.mine]


@contextmanager
def _added_runs(
    pool: Pool, chosen: Mapping[str, UUID], builds: Builds, result: Result
) -> Iterator[None]:
    """Tell in the result how the builds of the chosen tenants ended, well or not."""
    try:
        yield
    finally:
        for name, tenant_id in chosen.items():
            is_mine = tenant_id in builds.mine
            run_id = (builds.mine if is_mine else builds.others)[tenant_id]
            with tenant_transaction(pool, tenant_id, read_only=True) as conn:
                result.add_run(name, get_run(conn, tenant_id, run_id), is_mine=is_mine)
            if not is_mine:
                echo(f"{name} is being built already: quintile runs follow {run_id}")


@click.command()
@click.option(
    "--from", "first", required=True, type=_DAY, help="The first day; history starts anew there."
)
@click.option("--to", "last", type=_DAY, help="The last day; today otherwise.")
@click.option(
    "--every",
    type=click.Choice(["day", "week", "month"]),
    default="week",
    show_default=True,
    help="How far apart the days are.",
)
@click.option("--tenant", "names", multiple=True, metavar="T", help="Only these tenants.")
@click.option(
    "--as-of", metavar="TS", help="End with the state as of then; the newest build otherwise."
)
@result_option
@click.pass_obj
def backfill(
    settings: Settings,
    first: datetime,
    last: datetime | None,
    every: Literal["day", "week", "month"],
    names: tuple[str, ...],
    as_of: str | None,
    as_json: bool,
) -> None:
    """Compute RFM history from the orders, so that trends exist on the first day."""
    from service.builds.backfill import backfill as run_backfill

    last_day = last.date() if last else datetime.now(UTC).date()
    with report_result("backfill", as_json=as_json) as result, open_pool(settings) as pool:
        chosen = _chosen_tenants(settings, names)
        builds = start_builds(pool, chosen.values(), "cli")
        free = _free_tenants(chosen, builds)
        with (
            _added_runs(pool, chosen, builds, result),
            record_runs(pool, builds.mine) as recorders,
        ):
            for recorder in recorders:
                recorder.phase("history")
            if free or not chosen:
                result.counts["days"] = run_backfill(
                    settings,
                    first=first.date(),
                    last=last_day,
                    every=every,
                    tenants=names if len(free) == len(chosen) else free,
                    as_of=as_of,
                )
    count = result.counts["days"]
    echo(f"history begins anew on {first:%Y-%m-%d}: {count} days, and the current state")
