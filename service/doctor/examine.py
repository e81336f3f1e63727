"""Run every check; a check that cannot run is itself a finding."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

import psycopg

from service.core.config import Settings
from service.core.db import connect_as_owner
from service.core.errors import QuintileError
from service.doctor.connections import check_connections, check_keys
from service.doctor.database import check_database, check_isolation, check_pools, check_roles
from service.doctor.endpoints import check_endpoints
from service.doctor.finding import Finding
from service.doctor.host import check_clock, check_disk
from service.doctor.klaviyo import check_lists, check_revision
from service.doctor.metafields import check_metafields
from service.doctor.promo_codes import check_promo_codes
from service.doctor.queue import check_freshness, check_queue, check_runs
from service.doctor.shopify import check_records
from service.doctor.versions import check_versions
from service.doctor.webhooks import check_webhooks

_SEE_LOG = "See the logs of the worker and the web service."
_DATABASE_ADVICE = "Run: quintile migrate; then quintile build. See PostgreSQL's log for details."


def examine(settings: Settings, *, fix: bool = False) -> list[Finding]:
    """Run every check that can run.

    Args:
        settings: The installation.
        fix: Create missing webhook subscriptions and correct wrong ones.
    """
    # The host first: a full disk makes other checks fail.
    findings = run_check("disk", lambda: check_disk(settings))
    findings += run_check("database", lambda: check_database(settings))
    if not _is_broken(findings):
        findings += run_check("roles", lambda: check_roles(settings))
    if _is_broken(findings):
        return findings
    with connect_as_owner(settings) as conn:
        checks: tuple[tuple[str, Callable[[], Iterable[Finding]]], ...] = (
            ("isolation", lambda: check_isolation(conn)),
            ("pools", lambda: check_pools(settings)),
            ("connections", lambda: check_connections(settings, conn)),
            ("versions", lambda: check_versions(settings)),
            ("klaviyo", lambda: check_revision(settings)),
            ("keys", lambda: check_keys(settings, conn)),
            ("shopify", lambda: check_records(conn)),
            ("metafields", lambda: check_metafields(conn)),
            ("klaviyo", lambda: check_lists(conn)),
            ("promo codes", lambda: check_promo_codes(conn)),
            ("webhooks", lambda: check_webhooks(settings, conn, fix=fix)),
            ("endpoints", lambda: check_endpoints(conn)),
            ("freshness", lambda: check_freshness(settings)),
            ("runs", lambda: check_runs(settings, conn)),
            ("worker", lambda: check_queue(settings)),
            ("clock", lambda: check_clock(conn)),
        )
        for name, check in checks:
            findings += run_check(name, check)
    return findings


def run_check(name: str, check: Callable[[], Iterable[Finding]]) -> list[Finding]:
    """What a check found, or that it could not run."""
    findings: list[Finding] = []
    try:
        for finding in check():
            # Providers' error messages come without advice.
            needs_advice = finding.level != "ok" and not finding.advice
            findings.append(replace(finding, advice=_SEE_LOG) if needs_advice else finding)
    except QuintileError as error:
        findings.append(Finding("error", name, error.message, error.advice or _SEE_LOG))
    except psycopg.Error as error:
        # Only PostgreSQL's first line, without a statement's parameters.
        reason = error.diag.message_primary or "the connection was lost"
        message = f"the check failed in the database: {reason}"
        findings.append(Finding("error", name, message, _DATABASE_ADVICE))
    return findings


def _is_broken(findings: Iterable[Finding]) -> bool:
    return any(finding.level == "error" for finding in findings)
