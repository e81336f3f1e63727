"""Telling Klaviyo's flows who entered or left a segment: what waits in app.klaviyo_events, sent.

The id of an event is its ``unique_id`` over there, of which Klaviyo keeps the first for a profile
and metric. So an event whose answer was lost is sent again, and fires nothing twice. A bulk job
that repeats one is refused as a whole, and its events are then sent one by one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import httpx
from psycopg import sql
from psycopg.types.json import Jsonb

from service.core.db import tenant_transaction
from service.core.errors import QuintileError
from service.core.queries import query
from service.klaviyo.client import Document, KlaviyoError, KlaviyoScopeError, Problem
from service.klaviyo.push import Target
from service.queue.progress import Progress

_EVENTS = "/api/events"
_JOBS = "/api/event-bulk-create-jobs"
_POINTER = re.compile(
    r"/data/attributes/events-bulk-create/data/(\d+)"
    r"(?:/attributes/events/data/(\d+))?(?:/.*)?"
)
# One event is a kilobyte or so: a thousand of them stay far under the 5 MB of a job.
_MOST_IN_A_JOB = 1000

Event = dict[str, Any]


class EventsNotAllowedError(QuintileError):
    """The API key lacks the scope events:write, so events wait."""

    advice = (
        "Connect with a key that has it, or switch the events of the configuration off; what waits"
        " is sent by the next sync after."
    )


@dataclass(frozen=True)
class _Refusal:
    """An event Klaviyo did not take, with its reason."""

    event: Event
    problem: Problem


def send_events(
    target: Target, progress: Progress, *, bulk_from: int, most: int = _MOST_IN_A_JOB
) -> None:
    """Send what waits of a configuration's events; counts ``events`` and ``events_rejected``.

    Args:
        target: The configuration.
        progress: Who counts.
        bulk_from: How many events are worth a bulk job instead of a call each.
        most: How many events go into one bulk job at most.

    Raises:
        EventsNotAllowedError: The key may not send events; they wait.
        KlaviyoError: Klaviyo did not take them; what it took is recorded.
    """
    try:
        while events := _pending(target, most):
            if len(events) < bulk_from:
                _send_each(target, events, progress)
            else:
                _send_together(target, events, progress)
    except KlaviyoScopeError:
        raise EventsNotAllowedError from None


def _pending(target: Target, most: int) -> list[Event]:
    with tenant_transaction(target.pool, target.tenant_id, read_only=True) as conn:
        return conn.execute(
            query("destinations.list_pending_events"),
            {"tenant_id": target.tenant_id, "config_id": target.config_id, "most": most},
        ).fetchall()


def _send_each(target: Target, events: Sequence[Event], progress: Progress) -> None:
    for event in events:
        try:
            target.client.post(_EVENTS, _EVENTS, _event_body(event))
        except KlaviyoError as error:
            if error.status != httpx.codes.BAD_REQUEST:
                raise
            _record_rejected(target, [_Refusal(event, _first(error))], progress)
        else:
            _record_sent(target, [event], progress)


def _send_together(target: Target, events: list[Event], progress: Progress) -> None:
    """Send events as one job, without those that a refusal points at; else one by one."""
    people = [
        list(group)
        for _, group in groupby(events, lambda event: (event["email"], event["is_backfill"]))
    ]
    try:
        target.client.post(_JOBS, _JOBS, _job_body(people))
    except KlaviyoError as error:
        if error.status != httpx.codes.BAD_REQUEST:
            raise
        refusals = list(_pointed_at(error, people))
        if refusals:
            # What is left waits, and is read again by the next round.
            _record_rejected(target, refusals, progress)
        else:
            _send_each(target, events, progress)
    else:
        _record_sent(target, events, progress)


def _pointed_at(error: KlaviyoError, people: Sequence[Sequence[Event]]) -> Iterator[_Refusal]:
    """The events that a 400 points at: one of a person's, or all of them."""
    for problem in error.problems:
        match = _POINTER.fullmatch(problem.pointer or "")
        if match is None or int(match[1]) >= len(people):
            continue
        events = people[int(match[1])]
        if match[2] is not None:
            events = events[int(match[2]) : int(match[2]) + 1]
        yield from (_Refusal(event, problem) for event in events)


def _first(error: KlaviyoError) -> Problem:
    return error.problems[0] if error.problems else Problem("invalid", error.message, None)


def _event_body(event: Event) -> Document:
    profile = {"data": _profile(event["email"])}
    attributes = {**_attributes(event), "profile": profile}
    return {"data": {"type": "event", "attributes": attributes}}


def _job_body(people: Sequence[Sequence[Event]]) -> Document:
    """Groups of a person's events, all of a group being a backfill or none, as both say."""
    groups = [
        {
            "type": "event-bulk-create",
            "attributes": {
                "backfill": events[0]["is_backfill"],
                "profile": {"data": _profile(events[0]["email"])},
                "events": {
                    "data": [
                        {"type": "event", "attributes": _attributes(event)} for event in events
                    ]
                },
            },
        }
        for events in people
    ]
    return {
        "data": {
            "type": "event-bulk-create-job",
            "attributes": {"events-bulk-create": {"data": groups}},
        }
    }


def _profile(email: str) -> Document:
    return {"type": "profile", "attributes": {"email": email}}


def _attributes(event: Event) -> Document:
    return {
        "metric": {"data": {"type": "metric", "attributes": {"name": event["metric"]}}},
        "properties": event["properties"],
        "time": event["occurred_at"].isoformat(),
        "unique_id": str(event["event_id"]),
        "backfill": event["is_backfill"],
    }


def _record_sent(target: Target, events: Sequence[Event], progress: Progress) -> None:
    _record(
        target,
        query("destinations.mark_events_sent"),
        event_ids=[event["event_id"] for event in events],
    )
    progress.count(events=len(events))


def _record_rejected(target: Target, refusals: Sequence[_Refusal], progress: Progress) -> None:
    rows = [
        {
            "event_id": str(refusal.event["event_id"]),
            "code": refusal.problem.code,
            "detail": refusal.problem.detail,
        }
        for refusal in refusals
    ]
    _record(target, query("destinations.mark_events_rejected"), refusals=Jsonb(rows))
    progress.count(events_rejected=len(rows))


def _record(target: Target, statement: sql.SQL, **parameters: object) -> None:
    with tenant_transaction(target.pool, target.tenant_id) as conn:
        conn.execute(statement, {"tenant_id": target.tenant_id, **parameters})
