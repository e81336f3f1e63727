"""``quintile promo-codes``: promo codes for the members of segments."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import click

from service.cli.console import (
    echo,
    json_option,
    print_json,
    print_lines,
    report_result,
    result_option,
    run_with_progress,
    tenant_connection,
    tenant_option,
    tenant_pool,
)
from service.core.config import Settings
from service.core.db import Connection
from service.promo_codes import codes
from service.promo_codes.check import check_customer
from service.promo_codes.history import list_history, list_target_changes
from service.promo_codes.segments import list_targets
from service.tenants.audit import command_access, record_command, recording

# What --json and the API show of a code.
_SHOWN = (
    *("code", "title", "state", "problem", "percentage", "amount", "currency", "starts_at"),
    *("ends_at", "usage_limit", "once_per_customer", "segments", "excluded_segments", "targets"),
    *("discount_id", "applied_at", "created_at", "updated_at"),
)
_QUEUED = "A worker applies it to Shopify; without one: quintile promo-codes apply --tenant T"

# Options of `change` by the values that they take away.
_CLEARED = {"ends": "an end", "usage-limit": "a limit of use", "exclude": "excluded segments"}

code_argument = click.argument("code", metavar="CODE")


def _decimal(_ctx: click.Context, _parameter: click.Parameter, text: str | None) -> Decimal | None:
    if text is None:
        return None
    try:
        return Decimal(text)
    except InvalidOperation:
        raise click.BadParameter(f"'{text}' is not a number.") from None


def _instant(_ctx: click.Context, _parameter: click.Parameter, text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise click.BadParameter(f"'{text}' is not an ISO 8601 date or time.") from None
    # Without a zone, it is of the store's: see _given.
    return found


def _value_options(command: Any) -> Any:
    """The options of a code's values, which `create` and `change` share."""
    for option in (
        click.option("--title", help="What your staff see."),
        click.option("--percentage", callback=_decimal, help="Share taken off: 0.2 is 20 %."),
        click.option("--amount", callback=_decimal, help="Amount taken off an order."),
        click.option(
            "--starts",
            "starts_at",
            callback=_instant,
            metavar="TS",
            help="When it starts: a date or time, of the store's time zone unless TS has one.",
        ),
        click.option(
            "--ends",
            "ends_at",
            callback=_instant,
            metavar="TS",
            help="When it ends, as --starts; a date ends it as that day begins.",
        ),
        click.option("--usage-limit", type=click.IntRange(1), help="How often it may be used."),
        click.option(
            "--once-per-customer/--many-per-customer",
            default=None,
            help="Whether each customer may use it once or any number of times.",
        ),
        click.option(
            "--segment",
            "segments",
            multiple=True,
            metavar="ID",
            help="For members of this segment, such as rfm:champions. Repeatable.",
        ),
        click.option(
            "--exclude",
            "excluded_segments",
            multiple=True,
            metavar="ID",
            help="Not for members of this segment. Repeatable.",
        ),
    ):
        command = option(command)
    return command


def _clear_options(command: Any) -> Any:
    """The options of `change` that take optional values away."""
    for name, what in _CLEARED.items():
        option = click.option(f"--no-{name}", is_flag=True, help=f"Without {what}.")
        command = option(command)
    return command


@click.group("promo-codes")
def promo_codes() -> None:
    """Promo codes in Shopify for the members of segments."""


@promo_codes.command("list")
@tenant_option
@json_option
@click.pass_obj
def list_command(settings: Settings, tenant: str, as_json: bool) -> None:
    """List promo codes with their state and who Shopify has them for."""
    with tenant_connection(settings, tenant, read_only=True) as (conn, tenant_id):
        rows = codes.list_codes(conn, tenant_id)
    if as_json:
        print_lines(_shown(row) for row in rows)
        return
    for row in rows:
        targets = row["targets"]
        click.echo(
            f"{row['code']:<24} {row['state']:<16} {targets['in_shopify']:>7,} {targets['kind']}"
            f"  {', '.join(row['segments'])}"
        )


@promo_codes.command("show")
@code_argument
@tenant_option
@click.pass_obj
def show_command(settings: Settings, code: str, tenant: str) -> None:
    """Print a promo code as JSON."""
    with tenant_connection(settings, tenant, read_only=True) as (conn, tenant_id):
        print_json(_shown(codes.get_code(conn, tenant_id, code)))


@promo_codes.command("targets")
@tenant_option
@json_option
@click.pass_obj
def targets_command(settings: Settings, tenant: str, as_json: bool) -> None:
    """List the segments that a promo code may be for, or why they cannot be used."""
    with tenant_connection(settings, tenant, read_only=True) as (conn, tenant_id):
        rows = list_targets(conn, tenant_id, settings.promo_code_customers)
    if as_json:
        print_lines(
            {
                **{name: getattr(row, name) for name in ("id", "label", "source", "size")},
                **{name: getattr(row, name) for name in ("reachable", "emailable", "reason")},
            }
            for row in rows
        )
        return
    for row in rows:
        size = "" if row.size is None else f"{row.size:,}"
        click.echo(f"{row.id:<32} {size:>9}  {row.label}  {row.in_words or ''}".rstrip())


@promo_codes.command(
    "create",
    epilog="Example: quintile promo-codes create VIP20 --tenant acme --percentage 0.2"
    " --segment rfm:champions",
)
@code_argument
@tenant_option
@_value_options
@click.pass_obj
def create_command(settings: Settings, /, code: str, tenant: str, **given: Any) -> None:
    """Create a promo code for the members of segments."""
    with tenant_connection(settings, tenant) as (conn, tenant_id):
        values = codes.CodeValues(
            **{
                "title": code,
                "starts_at": datetime.now(UTC),
                "segments": (),
                **_given(given, codes.find_time_zone(conn, tenant_id)),
            }
        )
        made = codes.create_code(settings, conn, tenant_id, code, values)
        created = codes.auditable(made)
        record_command(conn, tenant_id, "promo_code.created", subject=made["code"], after=created)
    echo(f"promo code '{made['code']}' is queued. {_QUEUED}")


@promo_codes.command("change")
@code_argument
@tenant_option
@_value_options
@_clear_options
@click.pass_obj
def change_command(settings: Settings, /, code: str, tenant: str, **given: Any) -> None:
    """Change a promo code; what is not given stays."""
    cleared = _take_cleared(given)
    with tenant_connection(settings, tenant) as (conn, tenant_id):
        changes = _given(given, codes.find_time_zone(conn, tenant_id)) | cleared
        stored = codes.get_code(conn, tenant_id, code)["code"]

        def read() -> dict[str, Any]:
            return codes.auditable(codes.get_code(conn, tenant_id, stored))

        who = command_access(tenant_id)
        with recording(conn, who, "promo_code.changed", subject=stored, read=read):
            codes.change_code(settings, conn, tenant_id, code, changes)
    echo(f"the change is queued. {_QUEUED}")


@promo_codes.command("deactivate")
@code_argument
@tenant_option
@click.pass_obj
def deactivate_command(settings: Settings, code: str, tenant: str) -> None:
    """End a promo code until it is activated again."""
    with tenant_connection(settings, tenant) as (conn, tenant_id):
        before = codes.get_code(conn, tenant_id, code)
        made = codes.deactivate_code(conn, tenant_id, code)
        _record_state(conn, tenant_id, "promo_code.deactivated", before, made)
    echo(f"its end is queued. {_QUEUED}")


@promo_codes.command("activate")
@code_argument
@tenant_option
@click.pass_obj
def activate_command(settings: Settings, code: str, tenant: str) -> None:
    """Let a deactivated promo code work again."""
    with tenant_connection(settings, tenant) as (conn, tenant_id):
        before = codes.get_code(conn, tenant_id, code)
        made = codes.activate_code(conn, tenant_id, code)
        _record_state(conn, tenant_id, "promo_code.activated", before, made)
    echo(f"its activation is queued. {_QUEUED}")


@promo_codes.command("retry")
@code_argument
@tenant_option
@click.pass_obj
def retry_command(settings: Settings, code: str, tenant: str) -> None:
    """Try a promo code again that needs attention."""
    with tenant_connection(settings, tenant) as (conn, tenant_id):
        made = codes.retry_code(conn, tenant_id, code)
        record_command(conn, tenant_id, "promo_code.retried", subject=made["code"])
    echo(f"it is queued again. {_QUEUED}")


@promo_codes.command("delete")
@code_argument
@tenant_option
@click.option("--keep-discount", is_flag=True, help="Delete it here only; Shopify's stays.")
@click.pass_obj
def delete_command(settings: Settings, code: str, tenant: str, keep_discount: bool) -> None:
    """Delete a promo code, in Shopify first."""
    with tenant_connection(settings, tenant) as (conn, tenant_id):
        former = codes.auditable(codes.get_code(conn, tenant_id, code))
        deleting = codes.delete_code(conn, tenant_id, code, keeps_discount=keep_discount)
        action = "promo_code.forgotten" if keep_discount else "promo_code.deleted"
        record_command(conn, tenant_id, action, subject=former["code"], before=former)
    echo("deleted" if deleting is None else f"its deletion is queued. {_QUEUED}")


@promo_codes.command("check")
@code_argument
@click.argument("customer", metavar="CUSTOMER")
@tenant_option
@json_option
@click.pass_obj
def check_command(settings: Settings, code: str, customer: str, tenant: str, as_json: bool) -> None:
    """Check whether a customer may use a promo code. CUSTOMER is an id or e-mail address."""
    with tenant_connection(settings, tenant, read_only=True) as (conn, tenant_id):
        found = check_customer(conn, tenant_id, code, customer)
    if as_json:
        print_json(vars(found))
    else:
        click.echo(found.in_words)


@promo_codes.command("history")
@code_argument
@tenant_option
@click.option("--targets", is_flag=True, help="Each customer and segment added or removed.")
@json_option
@click.pass_obj
def history_command(
    settings: Settings, code: str, tenant: str, targets: bool, as_json: bool
) -> None:
    """List what was changed of a promo code in Shopify, newest first."""
    list_rows = list_target_changes if targets else list_history
    with tenant_connection(settings, tenant, read_only=True) as (conn, tenant_id):
        rows = list_rows(conn, tenant_id, code)
    if as_json:
        print_lines(rows)
        return
    if targets:
        for row in rows:
            click.echo(
                f"{row['changed_at']:%Y-%m-%d %H:%M}  {row['change']:<8} {row['id']:<20}"
                f" {row['name'] or ''}".rstrip()
            )
        return
    for row in rows:
        click.echo(
            f"{row['changed_at']:%Y-%m-%d %H:%M}  {row['action']:<8} +{row['added']:,}"
            f" -{row['removed']:,}  {row['targets']:,} afterwards"
        )


@promo_codes.command("apply", epilog="Example: quintile promo-codes apply --tenant acme")
@tenant_option
@result_option
@click.pass_obj
def apply_command(settings: Settings, tenant: str, as_json: bool) -> None:
    """Apply what is queued to Shopify now, with progress."""
    from service.promo_codes.apply import apply_promo_codes

    with (
        report_result("promo-codes apply", as_json=as_json) as result,
        tenant_pool(settings, tenant) as (pool, tenant_id),
        run_with_progress(pool, tenant, tenant_id, "promo_codes", result) as progress,
    ):
        apply_promo_codes(settings, pool, tenant_id, progress)


def _given(options: dict[str, Any], zone: ZoneInfo) -> dict[str, Any]:
    """The values that were given, by their names in the service; times without a zone get one."""
    names = {"once_per_customer": "is_once_per_customer"}
    return {
        names.get(name, name): value.replace(tzinfo=zone)
        if isinstance(value, datetime) and value.tzinfo is None
        else value
        for name, value in options.items()
        if value not in (None, ())
    }


def _take_cleared(options: dict[str, Any]) -> dict[str, Any]:
    """Take the flags of :func:`_clear_options` out of the options; returns what they change.

    Raises:
        click.UsageError: A value is given and taken away.
    """
    cleared: dict[str, Any] = {}
    for name, value, empty in (
        ("ends", "ends_at", None),
        ("usage-limit", "usage_limit", None),
        ("exclude", "excluded_segments", ()),
    ):
        if options.pop(f"no_{name}".replace("-", "_")):
            if options[value] not in (None, ()):
                raise click.UsageError(f"Give --{name} or --no-{name}, not both.")
            cleared[value] = empty
    return cleared


def _record_state(
    conn: Connection,
    tenant_id: UUID,
    action: str,
    before: dict[str, Any],
    after: dict[str, Any],
) -> None:
    record_command(
        conn,
        tenant_id,
        action,
        subject=after["code"],
        before=codes.auditable_state(before),
        after=codes.auditable_state(after),
    )


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in _SHOWN}
