"""Building the models, and calculating RFM history for past days."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Literal
from uuid import UUID

import click

from service.cli.console import Result, echo, report_result, result_option, warn_order_limit
from service.core.config import PROJECT_DIR, Settings
from service.core.db import Pool, connect_as_owner, find_tenant, open_pool, tenant_transaction
from service.queue.runs import get_run, record_runs, start_builds
from service.tenants.tenants import list_tenants

_DAY = click.DateTime(["%Y-%m-%d"])
_EVERY = click.Choice(["day", "week", "month"])

_tenants_option = click.option(
    "--tenant", "names", multiple=True, metavar="T", help="Only this tenant. Repeatable."
)


@click.command(epilog="Example: quintile build --tenant acme --as-of 2026-07-01")
@_tenants_option
@click.option("--as-of", metavar="TS", help="Date or time to build as of. Default: now.")
@click.option("--full-refresh", is_flag=True, help="Rebuild every model from scratch.")
@result_option
@click.pass_obj
def build(
    settings: Settings,
    names: tuple[str, ...],
    as_of: str | None,
    full_refresh: bool,
    as_json: bool,
) -> None:
    """Build segments and samples with dbt.

    Runs dbt build for all tenants or the given ones. Exits with 3 if another process is already
    building one of them and nothing failed.
    """
    from service.builds.run import build_and_record, parse_as_of

    with report_result("build", as_json=as_json) as result, open_pool(settings) as pool:
        if as_of is not None:
            parse_as_of(as_of)
        chosen = _chosen_tenants(settings, names)
        with _started_builds(pool, chosen, names, result) as (runs, tenants):
            if tenants is not None:
                build_and_record(
                    settings, pool, runs, tenants=tenants, as_of=as_of, full_refresh=full_refresh
                )
        for name, tenant_id in chosen.items():
            with tenant_transaction(pool, tenant_id, read_only=True) as conn:
                warn_order_limit(conn, name, tenant_id)


@click.command(epilog="Example: quintile backfill --from 2026-01-01 --every day")
@click.option("--from", "first", required=True, type=_DAY, help="First day of the new history.")
@click.option("--to", "last", type=_DAY, help="Last day. Default: today.")
@click.option(
    "--every", type=_EVERY, default="week", show_default=True, help="Interval between the days."
)
@_tenants_option
@click.option("--as-of", metavar="TS", help="Time of the final state. Default: the newest build's.")
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
    """Calculate RFM history for past days from the orders.

    Replaces the recorded history, so that charts of trends and movements have data from the start.
    """
    from service.builds.backfill import backfill as run_backfill

    last_day = last.date() if last else datetime.now(UTC).date()
    with report_result("backfill", as_json=as_json) as result, open_pool(settings) as pool:
        chosen = _chosen_tenants(settings, names)
        with (
            _started_builds(pool, chosen, names, result) as (runs, tenants),
            record_runs(pool, runs) as recorders,
        ):
            for recorder in recorders:
                recorder.phase("history")
            if tenants is not None:
                result.counts["days"] = run_backfill(
                    settings,
                    first=first.date(),
                    last=last_day,
                    every=every,
                    tenants=tenants,
                    as_of=as_of,
                )
    echo(f"history starts on {first:%Y-%m-%d}: {result.counts['days']} days and the current state")


@click.command("dbt-project", epilog="Example: cd $(quintile dbt-project) && dbt docs generate")
def dbt_project() -> None:
    """Print the directory of the dbt project.

    It can be installed into another dbt project: packages: - local: DIRECTORY
    """
    click.echo(PROJECT_DIR)


def _chosen_tenants(settings: Settings, names: Iterable[str]) -> dict[str, UUID]:
    """Ids of the named tenants, or of all, by name."""
    with connect_as_owner(settings) as conn:
        known = {row["name"]: row["tenant_id"] for row in list_tenants(conn)}
        return {name: find_tenant(conn, name) for name in names} or known


@contextmanager
def _started_builds(
    pool: Pool, chosen: Mapping[str, UUID], names: Sequence[str], result: Result
) -> Iterator[tuple[Mapping[UUID, UUID], Sequence[str] | None]]:
    """Start a build of each chosen tenant that no other process is building.

    Yields the started runs by tenant, and the names of the tenants to build: no names for all, None
    if there is nothing to build. Adds the builds to the result, however they end.
    """
    builds = start_builds(pool, chosen.values(), "cli")
    free = [name for name, tenant_id in chosen.items() if tenant_id in builds.mine]
    try:
        yield builds.mine, names if len(free) == len(chosen) else (free or None)
    finally:
        for name, tenant_id in chosen.items():
            is_mine = tenant_id in builds.mine
            run_id = (builds.mine if is_mine else builds.others)[tenant_id]
            with tenant_transaction(pool, tenant_id, read_only=True) as conn:
                result.add_run(name, get_run(conn, tenant_id, run_id), is_mine=is_mine)
            if not is_mine:
                echo(f"{name} is already being built: quintile runs follow {run_id}")
