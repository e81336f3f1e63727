"""The ``quintile`` command."""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from uuid import UUID

import click
import psycopg

from service.core import embedded
from service.core.config import Settings, load_settings, unknown_variables
from service.core.db import (
    Connection,
    Pool,
    admin_url,
    app_url,
    connect,
    connect_as_owner,
    find_tenant,
    open_pool,
    query,
    tenant_transaction,
    transform_url,
    url_parts,
)
from service.core.errors import (
    AlreadyRunningError,
    InvalidInputError,
    NotConnectedError,
    QuintileError,
)
from service.core.logs import configure_logging
from service.jobs import commands
from service.jobs.results import BUSY, FAILED, Result, result_option, told
from service.jobs.schedule_commands import schedules
from service.klaviyo.commands import klaviyo, preview
from service.migrate import migrate as run_migrations
from service.queue.runs import (
    Builds,
    Kind,
    RunRecorder,
    StartedRun,
    get_run,
    record_run,
    record_runs,
    start_builds,
    start_run,
)
from service.shopify.order_history import read_order_limit
from service.tenants.tenants import RfmChange, add_tenant, change_tenant, list_tenants
from service.tenants.tokens import create_sign_in_code, create_token

if TYPE_CHECKING:
    from service.shopify.orders_csv import ImportReport

if TYPE_CHECKING:
    from service.shopify.reconcile import Comparison

_DAY = click.DateTime(["%Y-%m-%d"])

_SHOWN_REJECTIONS = 20
_LONGEST_SECRET = 10_000

tenant_option = click.option(
    "--tenant", "tenant", required=True, metavar="T", help="The tenant's name."
)


class Group(click.Group):
    """A command group whose explained errors end in one sentence and exit code 1."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except QuintileError as error:
            for line in (f"Error: {error.message}", error.detail, error.advice):
                if line:
                    click.echo(line, err=True)
            ctx.exit(BUSY if isinstance(error, AlreadyRunningError) else FAILED)
        except (psycopg.errors.UndefinedTable, psycopg.errors.InsufficientPrivilege) as error:
            # Only PostgreSQL's own first line: a statement's parameters may hold anything.
            click.echo(f"Error: {error.diag.message_primary}.", err=True)
            click.echo(
                "The database is not ready for this: quintile migrate, then quintile build.",
                err=True,
            )
            ctx.exit(1)
        except psycopg.OperationalError:
            click.echo("Error: The connection to the database was lost.", err=True)
            ctx.exit(1)
        except BrokenPipeError:
            # The reader of a pipe, head for example, has seen enough.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            ctx.exit(0)


@click.group(cls=Group)
@click.pass_context
def main(ctx: click.Context) -> None:
    """Customer segments, sample tracking and Klaviyo sync inside your PostgreSQL."""
    settings = ctx.obj = load_settings()
    if ctx.invoked_subcommand != "worker":
        # A command tells its progress in its own words; the log is for what goes wrong.
        settings = replace(settings, log_level="WARNING")
    configure_logging(settings)
    for name in unknown_variables():
        _say(f"Warning: {name} is not a setting; docs/settings.md lists those there are.")


main.add_command(schedules)

# -- database -----------------------------------------------------------------------------------


@main.command()
@click.option(
    "--reset-passwords",
    is_flag=True,
    help="Give the database roles this installation's passwords though they have others.",
)
@click.pass_obj
def migrate(settings: Settings, reset_passwords: bool) -> None:
    """Prepare or upgrade the database: schemas, roles, row level security."""
    applied = run_migrations(settings, _say, reset_passwords=reset_passwords)
    _say(f"{len(applied)} migrations applied" if applied else "the database is up to date")


@main.group()
def db() -> None:
    """The database: its URL and, when it is the embedded one, its life cycle."""


@db.command("url")
@click.option(
    "--role",
    type=click.Choice(["admin", "app", "transform"]),
    default="admin",
    show_default=True,
    help="Whose URL.",
)
@click.pass_obj
def db_url(settings: Settings, role: str) -> None:
    """Print a connection string; starts the embedded PostgreSQL if need be."""
    urls = {"admin": admin_url, "app": app_url, "transform": transform_url}
    click.echo(urls[role](settings))


@db.command("start")
@click.pass_obj
def db_start(settings: Settings) -> None:
    """Start the embedded PostgreSQL."""
    _require_embedded(settings)
    admin_url(settings)
    _say("the embedded PostgreSQL is running")


@db.command("stop")
@click.pass_obj
def db_stop(settings: Settings) -> None:
    """Stop the embedded PostgreSQL."""
    _require_embedded(settings)
    stopped = embedded.stop(settings.home_dir / "pg")
    _say("the embedded PostgreSQL is stopped" if stopped else "it was not running")


@db.command("psql", context_settings={"ignore_unknown_options": True})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@click.pass_obj
def db_psql(settings: Settings, arguments: tuple[str, ...]) -> None:
    """Open a shell on the database; further arguments go to psql."""
    url = admin_url(settings)
    # Asked first here: psql's own error may repeat a part of the password.
    with connect(url):
        pass
    # The URL may hold a password: it goes through the environment, not where ps can read it.
    environment = {**os.environ, **_libpq_environment(url)}
    os.execve(embedded.psql_path(), ["psql", *arguments], environment)


def _libpq_environment(url: str) -> dict[str, str]:
    names = {
        "host": "PGHOST",
        "port": "PGPORT",
        "user": "PGUSER",
        "password": "PGPASSWORD",
        "dbname": "PGDATABASE",
        "sslmode": "PGSSLMODE",
    }
    return {names[key]: value for key, value in url_parts(url).items() if key in names}


def _require_embedded(settings: Settings) -> None:
    if settings.database_url:
        raise InvalidInputError(
            "QUINTILE_DATABASE_URL names the database; there is no embedded one to manage."
        )


@main.command()
@click.option("--json", "as_json", is_flag=True, help="Print the findings as one JSON object.")
@click.option("--fix", is_flag=True, help="Create and mend webhook subscriptions in the stores.")
@click.pass_obj
def doctor(settings: Settings, as_json: bool, fix: bool) -> None:
    """Check the database, isolation, secrets, connections, webhooks, freshness, jobs and machine.

    Each finding says what to do about it. Exits 1 when one of them is an error.
    """
    from service.doctor.examine import examine

    findings = examine(settings, fix=fix)
    if as_json:
        click.echo(json.dumps({"findings": [finding.as_dict() for finding in findings]}))
    else:
        for finding in findings:
            click.echo(finding.as_line())
    if any(finding.level == "error" for finding in findings):
        sys.exit(1)


@main.group()
def keys() -> None:
    """The key ring that seals stored credentials."""


@keys.command("new")
@click.argument("key_id", metavar="ID")
def keys_new(key_id: str) -> None:
    """Print an entry with a new key, for the front of QUINTILE_ENCRYPTION_KEYS."""
    from service.tenants.keys import new_key

    click.echo(new_key(key_id))


@keys.command("rotate")
@click.pass_obj
def keys_rotate(settings: Settings) -> None:
    """Seal every stored credential with the first key of the ring.

    Harmless at any time and as often as you like. Keys that seal nothing any more are named; they
    may leave the ring once every process has been restarted with the new one.
    """
    from service.tenants.keys import rotate_keys

    with connect_as_owner(settings) as conn:
        known = {row["name"]: row["tenant_id"] for row in list_tenants(conn)}
    with open_pool(settings) as pool:
        rotation = rotate_keys(settings, pool, known)
    _say(f"{rotation.resealed} of {sum(rotation.in_use.values())} secrets sealed anew")
    if idle := rotation.idle_keys(settings):
        _say(
            f"no secret needs {', '.join(idle)} any more; restart every process with the new"
            " ring before it goes"
        )
    for label, reason in rotation.broken.items():
        click.echo(f"Error: {label}: {reason}", err=True)
    if rotation.broken:
        click.echo("Put that key back, or connect these again, then rotate once more.", err=True)
        sys.exit(1)


# -- tenants ------------------------------------------------------------------------------------


@main.group()
def tenants() -> None:
    """Add, list and connect tenants."""


@tenants.command("add")
@click.argument("name")
@click.option("--shop", metavar="x.myshopify.com", help="The store's myshopify.com domain.")
@click.pass_obj
def tenants_add(settings: Settings, name: str, shop: str | None) -> None:
    """Add a tenant."""
    with connect_as_owner(settings) as conn:
        add_tenant(conn, name, shop)
    if shop is None:
        _say(
            f"added {name}; next: quintile orders import FILE.csv --tenant {name}, or, to connect "
            f"a store, quintile tenants set {name} --shop x.myshopify.com"
        )
    else:
        _say(
            f"added {name}; next: quintile tenants connect-shopify {name}, "
            f"or quintile orders import FILE.csv --tenant {name}"
        )


@tenants.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON array.")
@click.pass_obj
def tenants_list(settings: Settings, as_json: bool) -> None:
    """List the tenants."""
    with connect_as_owner(settings) as conn:
        rows = list_tenants(conn)
    if as_json:
        click.echo(json.dumps(rows, default=str))
        return
    if not rows:
        _say("no tenants yet; add one: quintile tenants add NAME")
    for row in rows:
        connected = ", ".join(row["connected"]) or "not connected"
        click.echo(
            f"{row['name']:<24} {row['shop_domain'] or '-':<40} {row['currency'] or '-':<4} "
            f"{row['time_zone']:<20} {connected}"
        )


@tenants.command("token")
@click.argument("name")
@click.option("--label", default="cli", show_default=True, help="What the token is for.")
@click.pass_obj
def tenants_token(settings: Settings, name: str, label: str) -> None:
    """Make an API token and print only the token; it is never shown again."""
    with connect_as_owner(settings) as conn:
        click.echo(create_token(conn, find_tenant(conn, name), label))


@tenants.command("sign-in-link")
@click.argument("name")
@click.pass_obj
def tenants_sign_in_link(settings: Settings, name: str) -> None:
    """Make a sign-in link for the admin UI: works once, within an hour."""
    click.echo(sign_in_link(settings, name))


@tenants.command("set")
@click.argument("name")
@click.option(
    "--shop",
    metavar="x.myshopify.com",
    help="The store's myshopify.com domain; fixed once the store is connected.",
)
@click.option("--currency", help="ISO 4217 code of the shop's currency.")
@click.option("--time-zone", help="The shop's time zone: an IANA name, such as Europe/Berlin.")
@click.option("--window-days", type=int, help="How many days of orders RFM looks at.")
@click.option("--rfm-time-zone", help="The time zone whose whole days RFM counts; UTC at first.")
@click.option(
    "--minimum-value",
    "minimum_minor",
    type=int,
    metavar="N",
    help="The least net value of an order that counts, in minor units (cents).",
)
@click.option("--count-samples/--ignore-samples", default=None, help="Whether paid samples count.")
@click.option(
    "--exclude-customer",
    "excluded",
    multiple=True,
    metavar="ID",
    help="A customer who is no person, such as a connector's default customer; replaces the list.",
)
@click.option(
    "--exclude-domain",
    "domains",
    multiple=True,
    metavar="DOMAIN",
    help="A domain whose addresses are not to be scored, such as your own; replaces the list.",
)
@click.option(
    "--no-excluded-customers", "exclude_nobody", is_flag=True, help="Exclude no customer."
)
@click.option("--no-excluded-domains", "exclude_no_domain", is_flag=True, help="Exclude no domain.")
@click.pass_obj
def tenants_set(
    settings: Settings,
    name: str,
    shop: str | None,
    currency: str | None,
    time_zone: str | None,
    window_days: int | None,
    rfm_time_zone: str | None,
    minimum_minor: int | None,
    count_samples: bool | None,
    excluded: tuple[str, ...],
    domains: tuple[str, ...],
    exclude_nobody: bool,
    exclude_no_domain: bool,
) -> None:
    """Change a tenant's settings, and queue a build where they change how RFM counts.

    What is not given stays as it is.
    """
    from service.queue.enqueue import enqueue

    if (excluded and exclude_nobody) or (domains and exclude_no_domain):
        raise InvalidInputError("To exclude somebody and to exclude nobody contradict each other.")
    rfm = RfmChange(
        window_days=window_days,
        time_zone=rfm_time_zone,
        minimum_minor=minimum_minor,
        is_sample_counted=count_samples,
        excluded_customer_ids=list(excluded) if excluded or exclude_nobody else None,
        excluded_domains=list(domains) if domains or exclude_no_domain else None,
    )
    with connect_as_owner(settings) as conn:
        tenant_id = find_tenant(conn, name)
        change_tenant(
            conn,
            tenant_id,
            shop=shop,
            currency=currency,
            time_zone=time_zone,
            rfm=rfm,
        )
    if rfm != RfmChange() or currency is not None:
        with open_pool(settings) as pool, tenant_transaction(pool, tenant_id) as conn:
            enqueue(conn, tenant_id, "build", "cli", behind_running=True)
        _say(
            f"changed {name}; a worker builds it with that, and without one: "
            f"quintile build --tenant {name}"
        )
    else:
        _say(f"changed {name}")
    if shop is not None:
        _say(f"its shop is {shop}: quintile tenants connect-shopify {name}")


@tenants.command("erase")
@click.argument("name")
@click.option("--confirm", metavar="NAME", help="The name again, instead of being asked for it.")
@click.pass_obj
def tenants_erase(settings: Settings, name: str, confirm: str | None) -> None:
    """Erase a tenant and everything that is theirs; nothing brings it back."""
    from service.privacy.tenant import erase_tenant

    with connect_as_owner(settings) as conn:
        tenant_id = find_tenant(conn, name)
    _confirm(name, confirm, f"This erases {name} for good: orders, segments, settings, access.")
    erase_tenant(settings, tenant_id, "operator", datetime.now(UTC))
    _say(f"erased {name}; a receipt without personal data is kept: quintile privacy receipts")


@tenants.command("connect-shopify")
@click.argument("name")
@click.pass_obj
def tenants_connect_shopify(settings: Settings, name: str) -> None:
    """Connect a store: reads its Admin API access token from standard input.

    A token that expires is given as the JSON object Shopify issued it with, in one or more lines:
    access_token, refresh_token, expires_in.
    """
    from service.shopify.connection import connect_shopify
    from service.shopify.report import describe_connection

    with connect_as_owner(settings) as conn:
        tenant_id = find_tenant(conn, name)
        shop = next(row["shop_domain"] for row in list_tenants(conn) if row["name"] == name)
    if shop is None:
        raise InvalidInputError(
            f"Tenant '{name}' has no shop.",
            advice=f"Set it: quintile tenants set {name} --shop x.myshopify.com",
        )
    token = _read_secret("Admin API access token", is_json_taken=True)
    with open_pool(settings) as pool:
        info = connect_shopify(settings, pool, tenant_id, shop, token)
    for line in describe_connection(settings, info):
        _say(line)


@tenants.command("disconnect-shopify")
@click.argument("name")
@click.pass_obj
def tenants_disconnect_shopify(settings: Settings, name: str) -> None:
    """Forget a store's access token; what has been landed stays."""
    _disconnect(settings, name, "shopify")


@tenants.command("connect-klaviyo")
@click.argument("name")
@click.pass_obj
def tenants_connect_klaviyo(settings: Settings, name: str) -> None:
    """Connect a Klaviyo account: reads its private API key from standard input."""
    from service.klaviyo.account import OPTIONAL_SCOPES
    from service.klaviyo.connection import connect_klaviyo

    with connect_as_owner(settings) as conn:
        tenant_id = find_tenant(conn, name)
    key = _read_secret("private API key")
    with open_pool(settings) as pool:
        account = connect_klaviyo(settings, pool, tenant_id, key)
    _say(f"connected {account.name}")
    for scope, why in OPTIONAL_SCOPES.items():
        if scope not in account.scopes:
            _say(f"the key lacks {scope}, for {why}")


@tenants.command("disconnect-klaviyo")
@click.argument("name")
@click.pass_obj
def tenants_disconnect_klaviyo(settings: Settings, name: str) -> None:
    """Forget a tenant's Klaviyo key: nothing is synced any more; lists stay as they are."""
    _disconnect(settings, name, "klaviyo")


def _disconnect(settings: Settings, name: str, provider: str) -> None:
    from service.core.credentials import disconnect

    with connect_as_owner(settings) as conn:
        tenant_id = find_tenant(conn, name)
    with open_pool(settings) as pool, tenant_transaction(pool, tenant_id) as conn:
        was_connected = disconnect(conn, tenant_id, provider, "An operator disconnected it.")
    _say(f"{name} is disconnected" if was_connected else f"{name} was not connected")


@tenants.command("map-list")
@click.argument("name")
@click.option(
    "--segment", required=True, metavar="KEY", help="rfm:champions or shopify:<segment id>."
)
@click.option("--list", "list_id", required=True, metavar="ID", help="The Klaviyo list's id.")
@click.pass_obj
def tenants_map_list(settings: Settings, name: str, segment: str, list_id: str) -> None:
    """Keep a Klaviyo list in step with a segment."""
    from service.klaviyo.configs import map_list

    with connect_as_owner(settings) as conn:
        tenant_id = find_tenant(conn, name)
    with open_pool(settings) as pool:
        list_name = map_list(settings, pool, tenant_id, segment, list_id)
    _say(f"{segment} feeds list '{list_name}'; quintile sync klaviyo --tenant {name} does it now")


@tenants.command("unmap-list")
@click.argument("name")
@click.option("--segment", required=True, metavar="KEY", help="The segment that feeds the list.")
@click.option("--list", "list_id", required=True, metavar="ID", help="The Klaviyo list's id.")
@click.pass_obj
def tenants_unmap_list(settings: Settings, name: str, segment: str, list_id: str) -> None:
    """Let a segment feed a Klaviyo list no longer; who is on the list stays."""
    from service.klaviyo.configs import unmap_list

    with connect_as_owner(settings) as conn:
        tenant_id = find_tenant(conn, name)
    with open_pool(settings) as pool, tenant_transaction(pool, tenant_id) as conn:
        list_name = unmap_list(conn, tenant_id, segment, list_id)
    _say(f"{segment} feeds list '{list_name}' no longer; who is on it stays")


def _read_secret(what: str, *, is_json_taken: bool = False) -> str:
    """From standard input, never from argv, where every user of the machine could read it."""
    if sys.stdin.isatty():
        secret: str = click.prompt(what, hide_input=True)
    else:
        secret = sys.stdin.readline()
        if is_json_taken and secret.lstrip().startswith("{"):
            secret += sys.stdin.read(_LONGEST_SECRET)
    if not secret.strip():
        raise InvalidInputError(f"Nothing came on standard input; it takes the {what}.")
    return secret.strip()


# -- work ---------------------------------------------------------------------------------------


@main.command()
@click.argument("provider", type=click.Choice(["shopify", "klaviyo"]))
@click.option("--tenant", metavar="T", help="Only this tenant; all connected ones otherwise.")
@click.option(
    "--only",
    type=click.Choice(["orders", "segments"]),
    help="Only a part of Shopify: customers and orders, or segments.",
)
@click.option(
    "--compare", is_flag=True, help="Shopify: compare all ids with the shop's, due or not."
)
@click.option(
    "--accept-deletions",
    is_flag=True,
    help="With --compare: believe it however much is gone from the shop.",
)
@click.option(
    "--dry-run", is_flag=True, help="Klaviyo: print what a sync would do, and do nothing."
)
@result_option
@click.pass_obj
def sync(
    settings: Settings,
    provider: str,
    tenant: str | None,
    only: Literal["orders", "segments"] | None,
    compare: bool,
    accept_deletions: bool,
    as_json: bool,
    dry_run: bool,
) -> None:
    """Sync now, with progress.

    Exits 3 when another process is syncing a tenant already, and nothing failed.
    """
    from service.shopify.reconcile import Comparison

    if dry_run and provider != "klaviyo":
        raise InvalidInputError("--dry-run is for Klaviyo: a sync writes nothing to the shop.")
    _check_parts(provider, only, compare=compare, accept_deletions=accept_deletions)
    runs = _sync_runs(provider, only, Comparison.chosen(now=compare, believe=accept_deletions))
    with told(f"sync {provider}", as_json=as_json) as result, open_pool(settings) as pool:
        for name, tenant_id in _connected_tenants(settings, provider, tenant).items():
            try:
                if dry_run:
                    run_id = preview(settings, pool, name, tenant_id)
                    with tenant_transaction(pool, tenant_id, read_only=True) as conn:
                        result.add_run(name, get_run(conn, tenant_id, run_id))
                    continue
                for kind, work in runs.items():
                    with _run(pool, name, tenant_id, kind, result) as progress:
                        work(settings, pool, tenant_id, progress)
            except QuintileError as error:
                # One tenant's trouble is not the next one's.
                click.echo(f"Error: {name}: {error.message}", err=True)
                if error.advice:
                    click.echo(error.advice, err=True)
                result.note_error(error)
            if provider == "klaviyo":
                _say_paused(pool, name, tenant_id)
            else:
                with tenant_transaction(pool, tenant_id, read_only=True) as conn:
                    _say_limit(conn, name, tenant_id)


def _check_parts(provider: str, only: str | None, *, compare: bool, accept_deletions: bool) -> None:
    if provider == "klaviyo" and only is not None:
        raise InvalidInputError("--only names a part of Shopify; Klaviyo has none.")
    if (compare and (provider != "shopify" or only == "segments")) or (
        accept_deletions and not compare
    ):
        raise InvalidInputError(
            "--compare is for orders and customers, and --accept-deletions for --compare."
        )


def _say_limit(conn: Connection, name: str, tenant_id: UUID) -> None:
    """Wherever numbers leave that lack older orders; on stderr, beside them."""
    if limit := read_order_limit(conn, tenant_id):
        _say(f"Warning: {name}: {limit['in_words']} {limit['advice']}")


def _sync_runs(
    provider: str, only: str | None, comparison: Comparison
) -> dict[Kind, Callable[[Settings, Pool, UUID, ConsoleProgress], None]]:
    """The runs that a sync is, in their order, each with its work."""
    from service.klaviyo.sync import sync_klaviyo
    from service.shopify.sync import sync_shopify

    if provider == "klaviyo":
        return {"klaviyo_sync": sync_klaviyo}
    runs: dict[Kind, Callable[[Settings, Pool, UUID, ConsoleProgress], None]] = {}
    if only != "segments":
        runs["shopify_sync"] = partial(sync_shopify, only="orders", comparison=comparison)
    if only != "orders":
        runs["segments_sync"] = partial(sync_shopify, only="segments")
    return runs


def _say_paused(pool: Pool, name: str, tenant_id: UUID) -> None:
    """At every sync, not only the one that paused a list: nobody else may have seen that one."""
    from service.klaviyo.configs import paused_lists

    with tenant_transaction(pool, tenant_id, read_only=True) as conn:
        paused = paused_lists(conn, tenant_id)
    for item in paused:
        _say(f"Warning: {name}: {item.message()}\n{item.advice(name)}")


def _connected_tenants(settings: Settings, provider: str, tenant: str | None) -> dict[str, UUID]:
    with connect_as_owner(settings) as conn:
        if tenant is not None:
            return {tenant: find_tenant(conn, tenant)}
        rows = list_tenants(conn)
    chosen = {row["name"]: row["tenant_id"] for row in rows if provider in row["connected"]}
    if not chosen:
        raise NotConnectedError(
            f"No tenant is connected to {provider}.",
            advice=f"Connect one: quintile tenants connect-{provider} NAME",
        )
    return chosen


main.add_command(klaviyo)


@main.group()
def orders() -> None:
    """Orders."""


@orders.command("import")
@click.argument(
    "files",
    metavar="FILE...",
    nargs=-1,
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
)
@tenant_option
@result_option
@click.pass_obj
def orders_import(settings: Settings, files: tuple[Path, ...], tenant: str, as_json: bool) -> None:
    """Import orders from CSV files with a header; importing them again changes nothing.

    Lines that cannot be read are named and left out; when a file has no other, it exits 1.

    A file is Shopify's own export of orders (Orders, Export, Plain CSV file; it may come in several
    parts), whose customers are known by their e-mail addresses, or one with these columns:

    Required: order_id, customer_id, processed_at, total. Optional: customer_email,
    customer_name, order_number, subtotal (goods after discounts), refunded, currency,
    financial_status, fulfillment_status, channel, tags (separated by ;), cancelled_at, test,
    updated_at. Times without an offset are UTC.
    """
    from service.shopify.orders_csv import import_orders

    reports = []
    with told("orders import", as_json=as_json) as result:
        with connect_as_owner(settings) as conn:
            tenant_id = find_tenant(conn, tenant)
        with (
            open_pool(settings) as pool,
            _run(pool, tenant, tenant_id, "orders_import", result) as progress,
        ):
            for file in files:
                # Bytes that are not UTF-8 are the reader's to report, with their line.
                with file.open(
                    encoding="utf-8-sig", errors="surrogateescape", newline=""
                ) as stream:
                    reports.append(import_orders(pool, tenant_id, stream, progress))
        for file, report in zip(files, reports, strict=True):
            if len(files) > 1:
                _say(f"{file.name}:")
            _say_import(report)
        if any(report.is_useless for report in reports):
            # Some bad lines are what an import lives with; nothing but bad lines is the wrong file.
            result.note(FAILED)


def _say_import(report: ImportReport) -> None:
    if report.is_export:
        _say("this is Shopify's own export: customers are found by their e-mail addresses")
    if report.ignored_columns:
        _say(f"ignored columns: {', '.join(report.ignored_columns)}")
    shown = report.rejected[:_SHOWN_REJECTIONS]
    for line, reason in shown:
        _say(f"line {line}: {reason}")
    if report.rejected_count > len(shown):
        _say(f"and {report.rejected_count - len(shown)} more rejected lines")
    click.echo(
        f"{report.landed} orders landed, {report.unchanged} unchanged, "
        f"{report.rejected_count} rejected"
    )


@main.command()
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

    with told("build", as_json=as_json) as result, open_pool(settings) as pool:
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
                _say_limit(conn, name, tenant_id)


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
                _say(f"{name} is being built already: quintile runs follow {run_id}")


@main.command()
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
    with told("backfill", as_json=as_json) as result, open_pool(settings) as pool:
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
    _say(f"history begins anew on {first:%Y-%m-%d}: {count} days, and the current state")


@main.group()
def webhooks() -> None:
    """Webhooks that could not be processed."""


@webhooks.command("list")
@tenant_option
@click.pass_obj
def webhooks_list(settings: Settings, tenant: str) -> None:
    """List the webhooks that were set aside, with the reason, as JSON lines."""
    with connect_as_owner(settings) as conn:
        tenant_id = find_tenant(conn, tenant)
    with open_pool(settings) as pool, tenant_transaction(pool, tenant_id, read_only=True) as conn:
        rows = conn.execute(query("sql/list_set_aside"), {"tenant_id": tenant_id})
        for row in rows:
            click.echo(json.dumps(row, default=str))


@webhooks.command("retry")
@tenant_option
@click.option("--id", "webhook_id", metavar="ID", help="Only this one; all of them otherwise.")
@click.pass_obj
def webhooks_retry(settings: Settings, tenant: str, webhook_id: str | None) -> None:
    """Try webhooks that were set aside once more; quintile worker does the work."""
    from service.webhooks.retry import retry_webhooks

    with connect_as_owner(settings) as conn:
        tenant_id = find_tenant(conn, tenant)
    with open_pool(settings) as pool, tenant_transaction(pool, tenant_id) as conn:
        retried = retry_webhooks(conn, tenant_id, webhook_id)
    if webhook_id is not None and not retried:
        raise InvalidInputError(
            f"No webhook '{webhook_id}' of {tenant} has been set aside.",
            advice=f"See: quintile webhooks list --tenant {tenant}",
        )
    queued = sum(row["state"] == "queued" for row in retried)
    _say(f"{queued} webhooks queued again, {len(retried) - queued} still not understood")


@main.group()
def privacy() -> None:
    """What is held of a person: told, erased, and the receipts of it."""


@privacy.command("export")
@tenant_option
@click.option("--customer", metavar="ID", help="Make a new one of this customer.")
@click.option("--id", "export_id", type=click.UUID, help="Print one that was made before.")
@click.pass_obj
def privacy_export(
    settings: Settings, tenant: str, customer: str | None, export_id: UUID | None
) -> None:
    """Print everything held of a customer as JSON."""
    from service.privacy.exports import newest_export, open_export
    from service.privacy.requests import add_request, meet_now

    if (customer is None) == (export_id is None):
        raise InvalidInputError("Give one of --customer and --id.")
    with connect_as_owner(settings) as conn:
        tenant_id = find_tenant(conn, tenant)
    with open_pool(settings) as pool:
        if customer is not None:
            with tenant_transaction(pool, tenant_id) as conn:
                webhook_id = add_request(conn, tenant_id, "data_request", customer, [])
            meet_now(settings, pool, tenant_id, webhook_id)
        with tenant_transaction(pool, tenant_id, read_only=True) as conn:
            wanted = export_id or newest_export(conn, tenant_id)
            document = open_export(settings, conn, tenant_id, wanted)
    if document is None:
        raise InvalidInputError(
            "There is no such export, or it has expired.",
            advice=f"See: quintile privacy exports --tenant {tenant}",
        )
    click.echo(document)


@privacy.command("exports")
@tenant_option
@click.pass_obj
def privacy_exports(settings: Settings, tenant: str) -> None:
    """List the answers to data requests that can still be fetched, as JSON lines."""
    with connect_as_owner(settings) as conn:
        tenant_id = find_tenant(conn, tenant)
    with open_pool(settings) as pool, tenant_transaction(pool, tenant_id, read_only=True) as conn:
        for row in conn.execute(query("sql/list_exports"), {"tenant_id": tenant_id}):
            click.echo(json.dumps(row, default=str))


@privacy.command("redact")
@tenant_option
@click.option("--customer", required=True, metavar="ID", help="The customer's id in Shopify.")
@click.option("--email", "emails", multiple=True, help="A further address of theirs.")
@click.option("--confirm", metavar="ID", help="The id again, instead of being asked for it.")
@click.pass_obj
def privacy_redact(
    settings: Settings, tenant: str, customer: str, emails: tuple[str, ...], confirm: str | None
) -> None:
    """Erase a customer everywhere; of their orders only the figures stay."""
    from service.privacy.requests import add_request, meet_now

    with connect_as_owner(settings) as conn:
        tenant_id = find_tenant(conn, tenant)
    _confirm(customer, confirm, f"This erases customer {customer} of {tenant} for good.")
    addresses = sorted({email.strip().lower() for email in emails})
    with open_pool(settings) as pool:
        with tenant_transaction(pool, tenant_id) as conn:
            webhook_id = add_request(conn, tenant_id, "customer_redact", customer, addresses)
        meet_now(settings, pool, tenant_id, webhook_id)
    _say(f"erased; the receipt: quintile privacy receipts --tenant {tenant}")


@privacy.command("receipts")
@click.option("--tenant", metavar="T", help="Only this tenant's; all, erased ones too, otherwise.")
@click.pass_obj
def privacy_receipts(settings: Settings, tenant: str | None) -> None:
    """List the receipts of privacy requests that were met, as JSON lines."""
    with connect_as_owner(settings) as conn:
        tenant_id = find_tenant(conn, tenant) if tenant is not None else None
        for row in conn.execute(query("sql/list_receipts"), {"tenant_id": tenant_id}):
            click.echo(json.dumps(row, default=str))


def _confirm(what: str, given: str | None, warning: str) -> None:
    """Go on only when somebody has written down what is to be erased."""
    if given is None:
        if not sys.stdin.isatty():
            raise InvalidInputError("This needs to be confirmed.", advice=f"Add: --confirm {what}")
        click.echo(warning, err=True)
        given = click.prompt(f"Type {what} to go on", err=True)
    if given != what:
        raise InvalidInputError(f"'{given}' is not '{what}'; nothing was erased.")


@main.group()
def segments() -> None:
    """RFM segments."""


@segments.command("export")
@tenant_option
@click.pass_obj
def segments_export(settings: Settings, tenant: str) -> None:
    """Print every customer's RFM as CSV."""
    _export(settings, tenant, "sql/export_rfm")


@main.group()
def samples() -> None:
    """Sample orders."""


@samples.command("export")
@tenant_option
@click.pass_obj
def samples_export(settings: Settings, tenant: str) -> None:
    """Print every sample order as CSV."""
    _export(settings, tenant, "sql/export_samples")


def _export(settings: Settings, tenant: str, name: str) -> None:
    with connect_as_owner(settings) as conn:
        tenant_id = find_tenant(conn, tenant)
    with (
        open_pool(settings) as pool,
        tenant_transaction(pool, tenant_id, read_only=True) as conn,
    ):
        _say_limit(conn, tenant, tenant_id)
        with conn.cursor().copy(query(name).format(tenant_id=tenant_id)) as copy:
            for block in copy:
                sys.stdout.buffer.write(block)
    sys.stdout.flush()


# -- processes ----------------------------------------------------------------------------------


@main.command()
@click.pass_obj
def serve(settings: Settings) -> None:
    """Serve the API and the admin UI with gunicorn."""
    check_port_free(settings.host, settings.port)
    # Fails here, in one sentence, when the database or the role is wrong.
    with open_pool(settings):
        pass
    os.execv(sys.executable, serve_command(settings))


def serve_command(settings: Settings) -> list[str]:
    """The gunicorn command line of the web service."""
    return [
        *(sys.executable, "-m", "gunicorn", "service.app:create_app()"),
        *("--bind", f"{settings.host}:{settings.port}"),
        *("--config", "python:service.web_server"),
        *("--workers", str(settings.web_processes)),
        *("--worker-class", "gthread", "--threads", str(settings.web_threads)),
        *("--log-level", "warning"),
    ]


@main.command()
@click.pass_obj
def worker(settings: Settings) -> None:
    """Run jobs and schedules until stopped; what is unfinished then is handed back."""
    from service.worker.worker import run_worker

    _say("working; stop with Ctrl-C")
    run_worker(settings)


@main.command()
@click.option("--shopify-port", type=int, default=0, help="Port; a free one when 0.")
@click.option("--klaviyo-port", type=int, default=0, help="Port; a free one when 0.")
@click.option("--seed", type=int, default=1, show_default=True, help="Same seed, same data.")
@click.option(
    "--anchor",
    type=click.DateTime(["%Y-%m-%d"]),
    help="The day on which the two years of history end; today otherwise.",
)
def sandbox(shopify_port: int, klaviyo_port: int, seed: int, anchor: datetime | None) -> None:
    """Serve a Shopify and a Klaviyo sandbox on loopback until stopped.

    The first line printed is a JSON object with their URLs, stores, tokens, keys and lists.
    """
    from sandbox.server import run_forever

    run_forever(
        seed=seed,
        anchor=anchor.date() if anchor else None,
        shopify_port=shopify_port,
        klaviyo_port=klaviyo_port,
    )


@main.command()
@click.option("--once", is_flag=True, help="Print one JSON object and end instead of serving.")
@click.pass_obj
def demo(settings: Settings, once: bool) -> None:
    """Run the whole product on two demo stores."""
    from service.demo import run_demo

    run_demo(settings, once=once, say=_say)


commands.register(main)


# -- shared -------------------------------------------------------------------------------------


def check_port_free(host: str, port: int) -> None:
    """Refuse early, in a sentence, when the port is taken.

    Raises:
        InvalidInputError: Something listens there already.
    """
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            raise InvalidInputError(
                f"Port {port} on {host} is taken.",
                advice="Stop what listens there, or choose another: QUINTILE_PORT=8001",
            ) from None


def sign_in_link(settings: Settings, name: str) -> str:
    """A link that signs in once, within the hour.

    The code is in the fragment, which browsers keep to themselves: no log or Referer sees it.
    """
    with connect_as_owner(settings) as conn:
        code = create_sign_in_code(conn, find_tenant(conn, name), timedelta(hours=1))
    return f"http://{settings.host}:{settings.port}/admin/sign-in#code={code}"


@dataclass
class ConsoleProgress:
    """Progress of a run on the terminal, and in its row."""

    recorder: RunRecorder
    label: str

    @property
    def run_id(self) -> UUID:
        """The run's id."""
        return self.recorder.run_id

    def phase(self, name: str, total: int | None = None) -> None:
        """Begin a phase."""
        _say(f"{self.label}: {name}" + (f" ({total:,})" if total is not None else ""))
        self.recorder.phase(name, total)

    def advance(self, done: int = 1) -> None:
        """So many more units are done."""
        self.recorder.advance(done)
        if sys.stderr.isatty():
            total = f" of {self.recorder.total:,}" if self.recorder.total else ""
            sys.stderr.write(f"\r  {self.recorder.done:,}{total}\x1b[K\r")
            sys.stderr.flush()

    def count(self, **counts: int) -> None:
        """Add to the run's counters."""
        self.recorder.count(**counts)


@contextmanager
def _run(
    pool: Pool, label: str, tenant_id: UUID, kind: Kind, result: Result
) -> Iterator[ConsoleProgress]:
    """Record a run of the command line, show its progress, and add it to the result."""
    with tenant_transaction(pool, tenant_id) as conn:
        started = start_run(conn, tenant_id, kind, "cli")
    run_id = started.run["run_id"]
    try:
        with _shown(pool, label, tenant_id, started) as progress:
            yield progress
    finally:
        with tenant_transaction(pool, tenant_id, read_only=True) as conn:
            result.add_run(label, get_run(conn, tenant_id, run_id))


@contextmanager
def _shown(
    pool: Pool, label: str, tenant_id: UUID, started: StartedRun
) -> Iterator[ConsoleProgress]:
    run_id = started.run["run_id"]
    if not started.created and started.run["state"] == "running":
        raise AlreadyRunningError(
            f"This is already running for {label}, since {started.run['started_at']:%H:%M} UTC.",
            advice=f"It is run {run_id}; a dead one makes way after two minutes.",
        )
    with record_run(pool, tenant_id, run_id) as recorder:
        yield ConsoleProgress(recorder, label)
    counts = ", ".join(f"{count:,} {name}" for name, count in recorder.counts.items())
    _say(f"{label}: done" + (f" ({counts.replace('_', ' ')})" if counts else ""))


def _say(text: str) -> None:
    click.echo(text, err=True)
