"""The home page: what needs attention, what changed since the day before, and how fresh it is.

Until data flows, it lists the steps that are left to do.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import psycopg
from flask import render_template, url_for

from service.api.access import tenant_id, transaction
from service.api.integrations import ShopifyConnection, read_shopify_connection
from service.api.integrations_klaviyo import KlaviyoConnection, read_klaviyo_connection
from service.api.metafields import read_metafields
from service.api.schemas import Run, Schedule, Tenant
from service.api.tenant import read_tenant
from service.core.db import Connection
from service.core.queries import query
from service.promo_codes.codes import list_codes
from service.ui.activity_page import RUN_LABELS, describe_run
from service.ui.blueprint import blueprint
from service.ui.listing import read_if_built
from service.ui.schedules import read_schedules

# Rows of each list; the pages behind them have all.
_ROWS = 5
# Schedules that say how fresh what people see is.
_FRESH = {"orders": "Orders", "segments": "Shopify segments", "build": "RFM and samples"}
_FRESH_WITH_KLAVIYO = {**_FRESH, "klaviyo": "Klaviyo lists"}


@dataclass(frozen=True)
class Attention:
    """Something that a person has to do. ``is_bad``: nothing goes on until then."""

    title: str
    text: str
    action: str
    href: str
    is_bad: bool = False


@dataclass(frozen=True)
class Step:
    """A step until data flows.

    Attributes:
        text: What it is for, or how far it is.
        state: "done", "now" for the next one to do, or "later".
        run: The URL that starts it, for steps that are a run of ``kind``.
    """

    title: str
    text: str
    state: str
    action: str
    href: str = ""
    run: str = ""
    kind: str = ""


@dataclass(frozen=True)
class Departures:
    """Who left the most valuable segment."""

    segment: str
    customers: int
    rows: list[dict[str, Any]]


@blueprint.get("")
def home() -> str:
    """What needs attention, and what changed."""
    tenant = tenant_id()
    with transaction() as conn:
        about = read_tenant(conn, tenant)
        shopify = read_shopify_connection(conn, tenant)
        klaviyo = read_klaviyo_connection(conn, tenant)
        lists = _list_configs(conn, tenant)
        segments = _read_marts(conn, query("ui.list_rfm_day_changes"))
        schedules = read_schedules(conn)
        page = {
            "steps": _steps(
                about,
                shopify,
                klaviyo,
                {row.name: row.last_run for row in schedules},
                has_list=bool(lists),
                is_built=bool(segments),
            ),
            "attention": [
                *_connection_problems(shopify, klaviyo),
                *_list_problems(lists),
                *_other_problems(conn, tenant),
            ],
            "segments": segments,
            "synced": conn.execute(
                query("ui.list_synced_day_changes"), {"tenant_id": tenant, "row_limit": _ROWS}
            ).fetchall(),
            "departures": _departures(conn, segments),
            "samples": next(iter(_read_marts(conn, query("ui.find_waiting_samples"))), None),
            "schedules": _freshness(schedules, has_klaviyo=bool(lists)),
        }
    return render_template("home.html", tenant=about, section="home", **page)


def _read_marts(
    conn: Connection, statement: psycopg.sql.SQL, **parameters: Any
) -> list[dict[str, Any]]:
    """Rows of a statement about the marts; none before the first build."""

    def read() -> list[dict[str, Any]]:
        return conn.execute(statement, {"tenant_id": tenant_id(), **parameters}).fetchall()

    return read_if_built(conn, read) or []


def _list_configs(conn: Connection, tenant: UUID) -> list[dict[str, Any]]:
    names = ("config_id", "after_created_at", "after_config_id", "row_limit")
    parameters = {"tenant_id": tenant, **dict.fromkeys(names)}
    return conn.execute(query("destinations.list_configs"), parameters).fetchall()


def _departures(conn: Connection, segments: list[dict[str, Any]]) -> Departures | None:
    """Who left the first segment since the recorded day before; None without such a day."""
    if not segments or segments[0]["previous_as_of"] is None:
        return None
    best = segments[0]
    rows = _read_marts(
        conn,
        query("ui.list_departures"),
        segment=best["id"].partition(":")[2],
        since=best["previous_as_of"],
        row_limit=_ROWS,
    )
    for row in rows:
        row["spend"] = _major(row["lifetime_minor"], row["currency_exponent"])
    return Departures(best["name"], rows[0]["departures"] if rows else 0, rows)


def _major(minor: int | None, exponent: int) -> Decimal | None:
    return None if minor is None else Decimal(minor).scaleb(-exponent)


def _freshness(schedules: list[Schedule], *, has_klaviyo: bool) -> list[tuple[str, Schedule]]:
    shown = _FRESH_WITH_KLAVIYO if has_klaviyo else _FRESH
    return [(shown[row.name], row) for row in schedules if row.name in shown]


# -- what needs attention -----------------------------------------------------------------------


def _connection_problems(
    shopify: ShopifyConnection, klaviyo: KlaviyoConnection
) -> Iterator[Attention]:
    connections = url_for("admin.connections")
    for name, connection in (("Shopify", shopify), ("Klaviyo", klaviyo)):
        if connection.state == "refused":
            yield Attention(
                f"{name} rejects the connection",
                connection.state_reason or "Syncing waits.",
                "Open connections",
                connections,
                is_bad=True,
            )
    for problem in shopify.problems:
        yield Attention(problem.in_words, problem.advice, "Open connections", connections)


def _list_problems(lists: list[dict[str, Any]]) -> Iterator[Attention]:
    for row in lists:
        page = url_for("admin.klaviyo_config", config_id=row["config_id"])
        name = row["list_name"]
        if row["is_paused"] and row["paused_by"] != "person":
            reason = row["paused_reason"] or "It is not synced."
            yield Attention(f"The list {name} is paused", reason, "Open list", page)
        elif row["last_state"] == "stopped" and not row["is_paused"]:
            reason = row["last_error"] or "The sync stopped before it changed anything."
            yield Attention(f"The list {name} needs your approval", reason, "Review", page)
        elif row["last_state"] == "failed" and not row["is_paused"]:
            reason = row["last_error"] or "The last sync failed."
            yield Attention(f"The list {name} was not synced", reason, "Open list", page, True)


def _other_problems(conn: Connection, tenant: UUID) -> Iterator[Attention]:
    for code in list_codes(conn, tenant):
        if code["state"] == "needs_attention" and code["problem"]:
            yield Attention(
                f"The promo code {code['code']} needs attention",
                code["problem"]["in_words"],
                "Open promo code",
                url_for("admin.promo_code", code=code["code"]),
            )
    if problem := read_metafields(conn, tenant).problem:
        connections = url_for("admin.connections")
        yield Attention(problem.in_words, problem.advice, "Open connections", connections)
    for row in conn.execute(query("ui.list_failing_endpoints"), {"tenant_id": tenant}):
        host = urlsplit(row["url"]).hostname
        text = "Deliveries fail." if row["is_enabled"] else "It was disabled after failures."
        yield Attention(
            f"The webhook at {host} fails",
            text,
            "Open webhooks",
            url_for("admin.settings_webhooks"),
        )
    for row in conn.execute(query("ui.list_failed_kinds"), {"tenant_id": tenant}):
        if row["kind"] in ("klaviyo_sync", "klaviyo_plan"):
            continue  # Their lists say so.
        yield Attention(
            f"{RUN_LABELS.get(row['kind'], row['kind'])}: the last run failed",
            row["error"] or "",
            "Open activity",
            url_for("admin.activity", kind=row["kind"], state="failed"),
        )


# -- what is left to do -------------------------------------------------------------------------


def _steps(
    tenant: Tenant,
    shopify: ShopifyConnection,
    klaviyo: KlaviyoConnection,
    runs: dict[str, Run | None],
    *,
    has_list: bool,
    is_built: bool,
) -> list[Step]:
    """The steps until data flows; none if all are done."""
    connected = ("active", "refused")
    has_shop, has_klaviyo = shopify.state in connected, klaviyo.state in connected
    # Orders may also have been imported from a file.
    has_synced = tenant.last_synced_at is not None or is_built
    connections = url_for("admin.connections")
    activity = url_for("admin.activity")
    sync, build = runs.get("orders"), runs.get("build")
    steps = [
        (has_shop, "Connect Shopify", "Lets Quintile read orders, customers and segments.",
         "Connect Shopify", connections, "", ""),
        (has_synced, "First sync",
         _progress(sync) or "Starts by itself once the store is connected.",
         *(_start(sync, "Sync now", "/api/admin/integrations/shopify/sync") if has_shop
           else ("View runs", activity, "", ""))),
        (is_built, "First calculation", _progress(build) or "Scores customers and finds samples.",
         *_start(build, "Calculate now", "/api/admin/segments/rfm/calculate")),
        (has_klaviyo, "Connect Klaviyo", "Optional. Keeps lists in sync with segments.",
         "Connect Klaviyo", connections, "", ""),
        (has_list, "First list", "Choose the segment that a Klaviyo list follows.",
         "Sync a list", url_for("admin.klaviyo", add=1), "", ""),
    ]  # fmt: skip
    if all(step[0] for step in steps):
        return []
    first = next(number for number, step in enumerate(steps) if not step[0])
    return [
        Step(title, text, _state(is_done, is_next=number == first), *rest)
        for number, (is_done, title, text, *rest) in enumerate(steps)
    ]


def _progress(run: Run | None) -> str:
    """How far the last run is, or why it failed; empty without one, or once it has succeeded."""
    if run is None or run.state == "succeeded":
        return ""
    described = describe_run(run, datetime.now(UTC))
    return f"{described.badge[0]}: {described.result} {described.advice}".strip()


def _start(run: Run | None, action: str, url: str) -> tuple[str, str, str, str]:
    """The button of a step that is a run: label, no link, the URL that starts it, and its kind."""
    has_failed = run is not None and run.state == "failed"
    kind = "build" if url.endswith("/calculate") else "shopify_sync"
    return "Try again" if has_failed else action, "", url, kind


def _state(is_done: bool, *, is_next: bool) -> str:
    if is_done:
        return "done"
    return "now" if is_next else "later"
