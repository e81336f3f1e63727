"""The page Activity: schedules, and past and current runs in words for people."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any

from flask import render_template

from service.api.access import state, tenant_id, transaction
from service.api.runs import RunsQuery, read_runs
from service.api.schemas import Run, RunsPage
from service.api.tenant import read_tenant
from service.ui.blueprint import blueprint
from service.ui.listing import read_listing
from service.ui.schedules import read_schedules

# Names of the kinds of runs on screen.
RUN_LABELS: Mapping[str, str] = MappingProxyType(
    {
        "shopify_sync": "Shopify customers and orders",
        "segments_sync": "Shopify segments",
        "klaviyo_sync": "Klaviyo lists",
        "klaviyo_plan": "Klaviyo previews",
        "metafields_sync": "Shopify customer metafields",
        "build": "RFM segments and samples",
        "orders_import": "Order import",
        "promo_codes": "Promo codes",
    }
)
_TRIGGERS = {
    "schedule": "Scheduled",
    "person": "Started by a user",
    "webhook": "Started by a webhook",
    "cli": "Started on the command line",
}
STATES: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "queued": ("Queued", ""),
        "running": ("Running", "busy"),
        "succeeded": ("Succeeded", "good"),
        "failed": ("Failed", "bad"),
    }
)
# Counters of a run that succeeded and still leaves something to do.
_LEFTOVERS = ("stopped", "paused", "rejected", "events_rejected")
# Counters that are facts rather than amounts.
_NOTES = {
    "withheld_fields": "some fields withheld by Shopify",
    "orders_limited_to_60_days": "only the last 60 days of orders",
    "unsupported_api_version": "answered by a different API version",
}
# Counters whose name says too little, for one and for several.
_NOUNS = {
    "calls": ("request", "requests"),
    "events_rejected": ("event rejected", "events rejected"),
    "paused": ("list paused", "lists paused"),
    "refreshed": ("profile off the lists updated", "profiles off the lists updated"),
    "segment_members": ("segment member", "segment members"),
    "skipped": ("left out", "left out"),
    "stopped": ("list needs approval", "lists need approval"),
    "written": ("record changed", "records changed"),
}
# The filters of the runs: parameter, label and choices.
_CHOICES = (
    ("kind", "Type", [("", "All types"), *RUN_LABELS.items()]),
    ("state", "Status", [("", "Any status"), *((key, STATES[key][0]) for key in STATES)]),
    (
        "trigger",
        "Started by",
        [
            ("", "Any trigger"),
            ("schedule", "Schedule"),
            ("person", "User"),
            ("webhook", "Webhook"),
            ("cli", "Command line"),
        ],
    ),
)
_QUEUED_TOO_LONG = timedelta(minutes=1)


@dataclass(frozen=True)
class RunRow:
    """A run in words.

    Attributes:
        badge: Its state, and how that looks.
        result: What it did, does or waits for.
        advice: What to do about it.
    """

    run: Run
    label: str
    trigger: str
    badge: tuple[str, str]
    result: str
    advice: str
    duration: str

    @property
    def is_unfinished(self) -> bool:
        """Whether it still changes."""
        return self.run.state in ("queued", "running")


@blueprint.get("/activity")
def activity() -> str:
    """Schedules, and past and current runs."""

    def read(page: RunsQuery) -> dict[str, Any]:
        found = RunsPage.model_validate(read_runs(conn, page))
        now = datetime.now(UTC)
        rows = [describe_run(run, now) for run in found.data]
        return {"data": rows, "next_cursor": found.next_cursor}

    with transaction() as conn:
        tenant = read_tenant(conn, tenant_id())
        schedules = read_schedules(conn)
        listing = read_listing(conn, RunsQuery, read)
    return render_template(
        "activity.html",
        tenant=tenant,
        section="activity",
        schedules=schedules,
        listing=listing,
        choices=_CHOICES,
        filters={name: title for name, title, _ in _CHOICES},
        run_days=state().settings.run_days,
    )


def describe_run(run: Run, now: datetime) -> RunRow:
    """A run in words, as of a time."""
    is_open = run.state == "succeeded" and any(run.counts.get(name) for name in _LEFTOVERS)
    result, advice = _outcome(run, now)
    return RunRow(
        run=run,
        label=RUN_LABELS.get(run.kind, run.kind.replace("_", " ")),
        trigger=_TRIGGERS[run.trigger],
        badge=("Succeeded in part", "warn") if is_open else STATES[run.state],
        result=result,
        advice=advice,
        duration=_duration(run, now),
    )


def _outcome(run: Run, now: datetime) -> tuple[str, str]:
    """What a run did, and what to do about it."""
    if run.state == "succeeded":
        return _counts(run), ""
    if run.state == "running":
        silent = (
            "No progress for a while. It will be retried or ended automatically within minutes."
        )
        return _progress(run), silent if run.is_silent else ""
    if run.state == "queued" and run.next_attempt_at is None:
        is_late = now - run.created_at > _QUEUED_TOO_LONG
        advice = "Still waiting. Check that quintile worker is running." if is_late else ""
        return "" if is_late else "Waiting to start", advice
    return run.error or "No error message.", run.advice or ""


def _progress(run: Run) -> str:
    """The progress of a run, as runs.js says it: "Orders: 120 of 400", or "Calculating… 40%"."""
    if run.kind == "build":
        return f"Calculating… {100 * run.done // run.total}%" if run.total else "Calculating…"
    if not run.phase:
        return "Starting…"
    phase = run.phase[0].upper() + run.phase[1:]
    if run.total:
        return f"{phase}: {run.done:,} of {run.total:,}"
    return f"{phase}: {run.done:,}" if run.done else f"{phase}…"


def _counts(run: Run) -> str:
    words = [
        _NOTES.get(name) or _counted(name, count) for name, count in run.counts.items() if count
    ]
    # Builds have no counters.
    return ", ".join(words) or ("Recalculated" if run.kind == "build" else "No changes")


def _counted(name: str, count: int) -> str:
    words = name.replace("_", " ")
    one, many = _NOUNS.get(name, (words, words))
    return f"{count:,} {one if count == 1 else many}"


def _duration(run: Run, now: datetime) -> str:
    if run.started_at is None:
        return "\N{EN DASH}"
    passed = (run.finished_at or now) - run.started_at
    minutes, seconds = divmod(max(0, round(passed.total_seconds())), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min" if minutes else f"{seconds} s"
