"""/api/events and /api/event-bulk-create-jobs."""

from __future__ import annotations

from flask import Blueprint, Response

from .bodies import (
    MAX_BULK_EVENTS,
    BulkEventAttributes,
    BulkGroup,
    CreateEvent,
    CreateEventJob,
    EventProfile,
)
from .errors import invalid
from .limits import EXTRA_LARGE, MEDIUM
from .operations import MEGABYTE, operation, respond
from .operations import read_body as body
from .profiles import profile_of
from .state import IDENTIFIERS, Account, Event, Profile, now

blueprint = Blueprint("events", __name__)
_WRITE = ("events:write",)
_JOB_GROUPS = "/data/attributes/events-bulk-create/data"


@operation(blueprint, "POST", "/api/events", limit=EXTRA_LARGE, scopes=_WRITE)
def create_event(account: Account) -> Response:
    """Record one event, creating its profile if need be."""
    attributes = body(CreateEvent, maximum=5 * MEGABYTE).data.attributes
    profile = _profile(account, attributes.profile.data, "/data/attributes/profile/data")
    _record(account, profile, attributes, is_backfill=bool(attributes.backfill))
    return respond(None, 202)


@operation(blueprint, "POST", "/api/event-bulk-create-jobs", limit=MEDIUM, scopes=_WRITE)
def bulk_create_events(account: Account) -> Response:
    """Record up to a thousand events of one or more profiles."""
    groups = body(CreateEventJob, maximum=5 * MEGABYTE).data.attributes.groups.data
    if sum(len(group.attributes.events.data) for group in groups) > MAX_BULK_EVENTS:
        raise invalid(f"At most {MAX_BULK_EVENTS} events are accepted.", pointer=_JOB_GROUPS)
    profiles = [
        _profile(
            account, group.attributes.profile.data, f"{_JOB_GROUPS}/{n}/attributes/profile/data"
        )
        for n, group in enumerate(groups)
    ]
    _refuse_repeated(account, groups, profiles)
    for profile, group in zip(profiles, groups, strict=True):
        for event in group.attributes.events.data:
            is_backfill = bool(event.attributes.backfill or group.attributes.backfill)
            _record(account, profile, event.attributes, is_backfill=is_backfill)
    return respond(None, 202)


def _refuse_repeated(account: Account, groups: list[BulkGroup], profiles: list[Profile]) -> None:
    """A unique id that is repeated for a profile and metric has the whole job refused."""
    seen: set[tuple[str, str, str]] = set()
    for profile, group in zip(profiles, groups, strict=True):
        for event in group.attributes.events.data:
            given = event.attributes
            if given.unique_id is None:
                continue
            key = (profile.id, given.metric.data.attributes.name, given.unique_id)
            if key in seen or key in account.events:
                raise invalid("An event with this unique_id exists already.", pointer="/data")
            seen.add(key)


def _profile(account: Account, given: EventProfile, pointer: str) -> Profile:
    attributes = given.attributes.given()
    if given.id:
        profile = profile_of(account, given.id)
        account.change_profile(profile, attributes)
        return profile
    if not any(attributes.get(name) for name in IDENTIFIERS):
        raise invalid("One of id, email, phone_number or external_id is required", pointer=pointer)
    return account.upsert_profile(attributes)[0]


def _record(
    account: Account, profile: Profile, given: BulkEventAttributes, *, is_backfill: bool
) -> None:
    """Without a unique id the second of the event stands in for it."""
    at = given.time or now()
    account.record_event(
        Event(
            profile_id=profile.id,
            metric=given.metric.data.attributes.name,
            unique_id=given.unique_id or str(int(at.timestamp())),
            time=at,
            value=given.value,
            value_currency=given.value_currency,
            properties=given.properties,
            is_backfill=is_backfill,
        )
    )
