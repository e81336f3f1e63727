"""Sending events about people who entered or left a segment, for Klaviyo's flows.

The id of an event is its ``unique_id`` in Klaviyo, which keeps the first of a profile and metric.
So an event whose answer was lost is sent again and starts no flow twice. A bulk job that repeats an
event is refused as a whole, and its events are then sent one by one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import groupby

from service.destinations.interface import DestinationError, Event, Refusal, Result
from service.klaviyo.client import (
    CONTENT_REFUSALS,
    Document,
    KlaviyoClient,
    KlaviyoError,
    KlaviyoScopeError,
)

_EVENTS = "/api/events"
_JOBS = "/api/event-bulk-create-jobs"
_POINTER = re.compile(
    r"/data/attributes/events-bulk-create/data/(\d+)"
    r"(?:/attributes/events/data/(\d+))?(?:/.*)?"
)


class EventsNotAllowedError(DestinationError):
    """The API key lacks the scope events:write, so events wait."""

    advice = (
        "Connect with a key that has it, or switch the events of the configuration off; the next"
        " sync sends what waits."
    )


def send_events(
    client: KlaviyoClient, events: Sequence[Event], bulk_from: int
) -> Iterator[Result[Event]]:
    """Send events, from ``bulk_from`` events on in one bulk job instead of a call each.

    Raises:
        EventsNotAllowedError: The key may not send events.
        KlaviyoError: Klaviyo did not accept them.
    """
    send = _send_each if len(events) < bulk_from else _send_bulk
    try:
        yield from send(client, events)
    except KlaviyoScopeError:
        raise EventsNotAllowedError from None


def _send_each(client: KlaviyoClient, events: Sequence[Event]) -> Iterator[Result[Event]]:
    for event in events:
        try:
            client.post(_EVENTS, _EVENTS, _event_body(event))
        except KlaviyoError as error:
            if error.status not in CONTENT_REFUSALS:
                raise
            code, detail = error.code or "invalid", error.detail or error.message
            yield Result(refused=[Refusal(event, code, detail)])
        else:
            yield Result([event])


def _send_bulk(client: KlaviyoClient, events: Sequence[Event]) -> Iterator[Result[Event]]:
    """Send events as one job. If it is refused, the events it points at are; else send each."""
    people = [
        list(group)
        for _, group in groupby(events, lambda event: (event["email"], event["is_backfill"]))
    ]
    try:
        client.post(_JOBS, _JOBS, _job_body(people))
    except KlaviyoError as error:
        if error.status not in CONTENT_REFUSALS:
            raise
        if refusals := list(_pointed_at(error, people)):
            yield Result(refused=refusals)
        else:
            yield from _send_each(client, events)
    else:
        yield Result(events)


def _pointed_at(error: KlaviyoError, people: Sequence[Sequence[Event]]) -> Iterator[Refusal[Event]]:
    """The events that a refusal points at: one of a person's, or all of them."""
    for problem in error.problems:
        match = _POINTER.fullmatch(problem.pointer or "")
        if match is None or int(match[1]) >= len(people):
            continue
        events = people[int(match[1])]
        if match[2] is not None:
            events = events[int(match[2]) : int(match[2]) + 1]
        yield from (Refusal(event, problem.code, problem.detail) for event in events)


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
