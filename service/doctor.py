"""``quintile doctor``: what is wrong with this installation, and what to do about each finding."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from typing import Any, Literal

import psycopg

from service.core.config import Settings
from service.core.db import (
    Connection,
    admin_url,
    app_url,
    connect,
    connect_as_owner,
    query,
    refuse_overprivileged,
    transform_url,
)
from service.core.errors import QuintileError, SealBrokenError
from service.core.vault import Sealed, key_ring, unseal
from service.jobs.doctor import examine_freshness, examine_queue, examine_runs
from service.klaviyo.configs import paused_lists
from service.machine import examine_clock, examine_disk
from service.migrate import MINIMUM_SERVER_VERSION, applied_migrations, known_migrations
from service.shopify.shop import ALL_ORDERS_SCOPE, NEEDED_SCOPES, is_granted
from service.tenants.tenants import list_tenants
from service.webhooks.doctor import Remark, examine_webhooks

_FEW_DAYS = 14
_SEE_LOG = "The log of the worker and of the web service has the details."
_DATABASE_ADVICE = "Run: quintile migrate; then quintile build. PostgreSQL's log says more."
Level = Literal["ok", "warning", "error"]


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    level: Level
    check: str
    message: str
    advice: str = ""

    def as_dict(self) -> dict[str, str]:
        """For ``--json``."""
        return asdict(self)

    def as_line(self) -> str:
        """For the terminal."""
        advice = f"\n{'':<23}{self.advice}" if self.advice else ""
        return f"{self.level:<8} {self.check:<13} {self.message}{advice}"


def examine(settings: Settings, *, fix: bool = False) -> list[Finding]:
    """Look at everything that can be looked at; what cannot be reached is itself a finding.

    With ``fix``, webhook subscriptions that are missing or wrong are mended.
    """
    # First what is about this machine alone: a full disk is why much else fails.
    findings = _explained("disk", lambda: _told("disk", examine_disk(settings)))
    findings += _explained("database", lambda: _with(connect(admin_url(settings)), _database))
    if not _is_broken(findings):
        findings += _explained("roles", lambda: _roles(settings))
    if _is_broken(findings):
        return findings
    with connect_as_owner(settings) as conn:
        looks: tuple[tuple[str, Callable[[], Iterable[Finding]]], ...] = (
            ("isolation", lambda: _isolation(conn)),
            ("connections", lambda: _credentials(settings, conn)),
            ("keys", lambda: _keys(settings, conn)),
            ("klaviyo", lambda: _paused_lists(conn)),
            ("webhooks", lambda: _told("webhooks", examine_webhooks(settings, conn, fix=fix))),
            ("freshness", lambda: _told("freshness", examine_freshness(settings, conn))),
            ("runs", lambda: _told("runs", examine_runs(settings, conn))),
            ("worker", lambda: _told("worker", examine_queue(settings))),
            ("clock", lambda: _told("clock", examine_clock(conn))),
        )
        for check, look in looks:
            findings += _explained(check, look)
    return findings


def _with(
    opened: AbstractContextManager[Connection], look: Callable[[Connection], Iterable[Finding]]
) -> Iterator[Finding]:
    with opened as conn:
        yield from look(conn)


def _is_broken(findings: Iterable[Finding]) -> bool:
    return any(finding.level == "error" for finding in findings)


def _explained(check: str, look: Callable[[], Iterable[Finding]]) -> list[Finding]:
    """What was found, or that it could not be looked at: the other looks go on."""
    findings: list[Finding] = []
    try:
        findings.extend(look())
    except QuintileError as error:
        findings.append(Finding("error", check, error.message, error.advice or _SEE_LOG))
    except psycopg.Error as error:
        # Only PostgreSQL's own first line: a statement's parameters may hold anything.
        words = error.diag.message_primary or "the connection was lost"
        message = f"the database did not answer: {words}"
        findings.append(Finding("error", check, message, _DATABASE_ADVICE))
    return findings


def _database(conn: Connection) -> Iterator[Finding]:
    version = conn.info.server_version
    yield Finding(
        "ok" if version >= MINIMUM_SERVER_VERSION else "error",
        "database",
        f"PostgreSQL {version // 10000}.{version % 10000}",
        "" if version >= MINIMUM_SERVER_VERSION else "Quintile needs PostgreSQL 15 or newer.",
    )
    applied = applied_migrations(conn)
    pending = [item.name for item in known_migrations() if item.name not in applied]
    if pending:
        yield Finding("error", "migrations", f"{len(pending)} are pending", "Run: quintile migrate")
    else:
        yield Finding("ok", "migrations", f"all {len(applied)} applied")


def _roles(settings: Settings) -> Iterator[Finding]:
    with connect(app_url(settings)) as conn:
        refuse_overprivileged(conn)
    yield Finding("ok", "roles", "the service connects as quintile_app and may do no more")
    with connect(transform_url(settings)):
        yield Finding("ok", "roles", "dbt connects as quintile_transform")


def _isolation(conn: Connection) -> Iterator[Finding]:
    rows = conn.execute("select relation, finding from app.isolation_findings").fetchall()
    for row in rows:
        yield Finding(
            "error",
            "isolation",
            f"{row['relation']}: {row['finding']}",
            "Landed tables: quintile migrate. What dbt builds: quintile build.",
        )
    if not rows:
        yield Finding("ok", "isolation", "every relation with a tenant_id is protected")


def _credentials(settings: Settings, conn: Connection) -> Iterator[Finding]:
    for row in conn.execute(query("sql/list_connections")).fetchall():
        label = f"{row['name']} to {row['provider']}"
        try:
            unseal(
                settings,
                row["tenant_id"],
                row["provider"],
                Sealed(row["key_id"], row["sealed_secret"]),
            )
        except SealBrokenError as error:
            yield Finding("error", "connections", f"{label}: {error.message}", error.advice)
            continue
        if row["state"] == "active":
            yield Finding("ok", "connections", f"{label}: {row['account_name']}")
            yield from _limits(label, row)
        else:
            yield Finding(
                "error",
                "connections",
                f"{label}: {row['state_reason']}",
                f"Run: quintile tenants connect-{row['provider']} {row['name']}",
            )


def _limits(label: str, row: dict[str, Any]) -> Iterator[Finding]:
    """What is wrong with a connection that works all the same."""
    if row["provider"] != "shopify":
        return
    if row["api_version_served"] not in (None, row["api_version_asked"]):
        yield Finding(
            "warning",
            "connections",
            f"{label}: Shopify no longer has version {row['api_version_asked']} of its API and"
            f" answers with {row['api_version_served']}",
            "Set QUINTILE_SHOPIFY_API_VERSION to a version this release was made for.",
        )
    for scope, purpose in NEEDED_SCOPES.items():
        if row["is_verified"] and not is_granted(scope, row["scopes"]):
            yield Finding(
                "error",
                "scopes",
                f"{label}: {scope} is not granted; it is for {purpose}",
                f"Grant it in Shopify, then: quintile tenants connect-shopify {row['name']}",
            )
    if row["is_limited"]:
        yield Finding(
            "warning",
            "connections",
            f"{label}: {ALL_ORDERS_SCOPE} is not granted, so Shopify shows 60 days of orders",
            "Grant it and connect again, or bring older orders in: quintile orders import",
        )
    if row["refresh_days_left"] is not None and row["refresh_days_left"] < _FEW_DAYS:
        yield Finding(
            "warning",
            "connections",
            f"{label}: its refresh token ends in {row['refresh_days_left']} days",
            "Every sync renews it; if none can run, connect again before then.",
        )


def _keys(settings: Settings, conn: Connection) -> Iterator[Finding]:
    """Which keys of the ring are in use; one that is missing is told with its connection."""
    used = {
        row["key_id"]: row["secrets"] for row in conn.execute(query("sql/count_keys")).fetchall()
    }
    newest = next(iter(key_ring(settings)))
    if older := sum(count for key_id, count in used.items() if key_id != newest):
        yield Finding(
            "warning",
            "keys",
            f"{older} of {sum(used.values())} secrets are sealed with another key than the first"
            f" of the ring, '{newest}'",
            "Run: quintile keys rotate",
        )
    elif used:
        yield Finding("ok", "keys", f"all {used[newest]} secrets are sealed with key '{newest}'")


def _paused_lists(conn: Connection) -> Iterator[Finding]:
    for tenant in list_tenants(conn):
        for paused in paused_lists(conn, tenant["tenant_id"]):
            yield Finding(
                "warning",
                "klaviyo",
                f"{tenant['name']}: {paused.message()}",
                paused.advice(tenant["name"]),
            )


def _told(check: str, remarks: Iterable[Remark]) -> Iterator[Finding]:
    for remark in remarks:
        # What providers answer comes without advice.
        advice = remark.advice if remark.advice or remark.level == "ok" else _SEE_LOG
        yield Finding(remark.level, check, remark.message, advice)
