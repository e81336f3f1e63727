"""The settings: API tokens, people, schedules, webhooks, the audit log and the danger zone."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, time
from types import MappingProxyType
from typing import Any, get_args

from flask import render_template, request
from pydantic import ValidationError

from service.api.access import access, tenant_id, transaction
from service.api.audit_log import AuditQuery, read_audit_log
from service.api.integrations import read_shopify_connection
from service.api.integrations_klaviyo import read_klaviyo_connection
from service.api.paging import PageQuery
from service.api.problems import BadCursorError
from service.api.schemas import YEARS
from service.api.segment_list import SegmentsQuery, list_segments_of
from service.api.tenant import read_tenant
from service.api.webhook_endpoints import read_endpoints
from service.core.db import Connection
from service.core.queries import query
from service.notifications.topics import Topic
from service.segments.ids import Source, parse_segment_id
from service.tenants.sessions import list_sessions
from service.tenants.tokens import list_tokens
from service.ui.blueprint import blueprint, render
from service.ui.pages import find_segment_of_url
from service.ui.schedules import read_schedules
from service.ui.times import zone_of

_SOURCES: tuple[Source, ...] = get_args(Source)
_TOPICS: Mapping[Topic, str] = MappingProxyType(
    {
        "klaviyo_sync.failed": "Klaviyo sync failed",
        "klaviyo_sync.recovered": "Klaviyo sync recovered",
        "segment.customer_entered": "Customers entered a segment",
        "segment.customer_left": "Customers left a segment",
        "sample.found": "Samples found",
        "sample.fulfilled": "Samples fulfilled",
        "build.completed": "Segments calculated",
    }
)
# As many as a page of the list has. The API takes those beyond.
_MOST_SEGMENTS = 200
# Names in actions that are not common words.
_PROPER = {"rfm": "RFM", "klaviyo": "Klaviyo", "shopify": "Shopify"}


@blueprint.get("/settings")
def settings() -> str:
    """All settings, each with a sentence."""
    return render("settings.html", "settings")


@blueprint.get("/settings/tokens")
def settings_tokens() -> str:
    """The API tokens, without their secrets: first those that work."""
    with transaction() as conn:
        tenant = read_tenant(conn, tenant_id())
        tokens = list_tokens(conn, tenant_id())
    return render_template(
        "settings_tokens.html",
        tenant=tenant,
        section="settings",
        active=[token for token in tokens if token["state"] == "active"],
        former=[token for token in tokens if token["state"] != "active"],
    )


@blueprint.get("/settings/people")
def settings_people() -> str:
    """Who is signed in."""
    with transaction() as conn:
        tenant = read_tenant(conn, tenant_id())
        sessions = list_sessions(conn, tenant_id())
    return render_template(
        "settings_people.html",
        tenant=tenant,
        section="settings",
        sessions=sessions,
        own_session=access().credential_id,
    )


@blueprint.get("/settings/schedules")
def settings_schedules() -> str:
    """What starts by itself, and when."""
    with transaction() as conn:
        tenant = read_tenant(conn, tenant_id())
        schedules = read_schedules(conn)
    return render_template(
        "settings_schedules.html", tenant=tenant, section="settings", schedules=schedules
    )


@blueprint.get("/settings/webhooks")
def settings_webhooks() -> str:
    """Outgoing webhooks, and what was delivered; `segment` is chosen for a new one."""
    with transaction() as conn:
        tenant = read_tenant(conn, tenant_id())
        segments = {source: _read_segments(conn, source) for source in _SOURCES}
        endpoints = read_endpoints(conn, PageQuery.model_validate({}))
        chosen = _choose(conn, segments, request.args.get("segment", ""))
    return render_template(
        "settings_webhooks.html",
        tenant=tenant,
        section="settings",
        segments=segments,
        endpoints=endpoints["data"],
        topics=_TOPICS,
        chosen=chosen,
    )


def _read_segments(conn: Connection, source: Source) -> list[dict[str, Any]]:
    """The segments of a source, by name."""
    page = SegmentsQuery.model_validate({"source": source, "limit": _MOST_SEGMENTS})
    rows: list[dict[str, Any]] = list_segments_of(conn, tenant_id(), page)["data"]
    return [row for row in rows if row["gone_at"] is None]


def _choose(conn: Connection, segments: Mapping[Source, list[dict[str, Any]]], wanted: str) -> str:
    """The id of the wanted segment, or "". It is added to the choices if it is not among them."""
    if any(row["id"] == wanted for rows in segments.values() for row in rows):
        return wanted
    found = find_segment_of_url(conn, wanted)
    if found is None or found.is_deleted:
        return ""
    segments[parse_segment_id(wanted).source].append({"id": wanted, "name": found.name})
    return wanted


@blueprint.get("/settings/audit-log")
def settings_audit_log() -> str:
    """Who changed what, and when."""
    with transaction() as conn:
        tenant = read_tenant(conn, tenant_id())
        named = {"tenant_id": tenant_id()}
        choices = conn.execute(query("ui.list_audit_choices"), named).fetchall()
        since, since_error = _since(tenant.time_zone)
        problem = f"Since: {since_error}" if since_error else ""
        page: dict[str, Any] = {"data": [], "next_cursor": None}
        if not problem:
            try:
                page = read_audit_log(conn, _audit_query(since))
            except (ValidationError, BadCursorError):
                problem = "This page of the list is gone. Start with the first one."
    for row in page["data"]:
        row["changes"] = _changes(row["before"], row["after"])
    return render_template(
        "settings_audit_log.html",
        tenant=tenant,
        section="settings",
        entries=page["data"],
        next_cursor=page["next_cursor"],
        since=since,
        since_error=since_error,
        problem=problem,
        actors=[row["name"] for row in choices if row["kind"] == "actor"],
        actions=[
            (row["name"], in_words(row["name"])) for row in choices if row["kind"] == "action"
        ],
        in_words=in_words,
    )


@blueprint.get("/settings/danger")
def settings_danger() -> str:
    """What cannot be undone."""
    with transaction() as conn:
        tenant = read_tenant(conn, tenant_id())
        shopify = read_shopify_connection(conn, tenant_id())
        klaviyo = read_klaviyo_connection(conn, tenant_id())
    return render_template(
        "settings_danger.html", tenant=tenant, section="settings", shopify=shopify, klaviyo=klaviyo
    )


def _since(time_zone: str) -> tuple[datetime | None, str]:
    """The beginning of the day in the parameter ``since``, and what is wrong with it."""
    given = request.args.get("since", "")
    if not given:
        return None, ""
    try:
        day = date.fromisoformat(given)
    except ValueError:
        return None, "Enter a date such as 2026-07-01."
    # A browser makes the year 26 of a typed "26".
    if day.year not in YEARS:
        return None, f"Enter a year from {YEARS.start} to {YEARS.stop - 1}."
    return datetime.combine(day, time(), zone_of(time_zone)), ""


def _audit_query(since: datetime | None) -> AuditQuery:
    names = ("actor", "action", "cursor")
    given = {name: request.args[name] for name in names if request.args.get(name)}
    return AuditQuery.model_validate(given | ({"since": since.isoformat()} if since else {}))


def in_words(action: str) -> str:
    """An action of the audit log for people: "rfm_settings.changed" is "RFM settings changed"."""
    words = [_PROPER.get(word, word) for word in action.replace(".", "_").split("_")]
    text = " ".join(words).replace("sign in ", "sign-in ")
    return text[:1].upper() + text[1:]


def _changes(before: Any, after: Any) -> list[tuple[str, Any, Any]]:
    """What differs between two values: name, value before and value after."""
    one = before if isinstance(before, dict) else {}
    other = after if isinstance(after, dict) else {}
    return [
        (name.replace("_", " "), one.get(name), other.get(name))
        for name in {**one, **other}
        if one.get(name) != other.get(name)
    ]
