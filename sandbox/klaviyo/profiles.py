"""/api/profiles and /api/profile-import."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from flask import Blueprint, Response, request

from .bodies import ChangeProfile, CreateProfile, UpsertProfile
from .errors import invalid, not_found
from .limits import LARGE
from .operations import Document, operation, respond, url
from .operations import read_body as body
from .pages import filtered, page, sort_order, sparse, write_time
from .state import Account, Profile

blueprint = Blueprint("profiles", __name__)

_READ, _WRITE = ("profiles:read",), ("profiles:write",)
_SHAPE = ("additional-fields[profile]", "fields[profile]")
_SUPPRESSED = "subscriptions.email.marketing.suppression.timestamp"
_FILTERS = {
    "id": ("any", "equals"),
    "email": ("any", "equals"),
    "phone_number": ("any", "equals"),
    "external_id": ("any", "equals"),
    "created": ("greater-than", "less-than"),
    "updated": ("greater-than", "less-than"),
    _SUPPRESSED: ("greater-or-equal", "greater-than", "less-or-equal", "less-than"),
}


@operation(
    blueprint,
    "GET",
    "/api/profiles",
    limit=LARGE,
    scopes=_READ,
    parameters=(*_SHAPE, "filter", "page[cursor]", "page[size]", "sort"),
)
def get_profiles(account: Account) -> Response:
    """All profiles, oldest first unless sorted otherwise."""
    field, backwards = sort_order(("id", "created", "updated", "email", _SUPPRESSED), "created")
    rows = filtered(
        list(account.profiles.values()), _FILTERS, lambda name: lambda row: _field(row, name)
    )
    rows.sort(key=lambda row: (str(_field(row, field) or ""), row.id), reverse=backwards)
    chosen, links = page(rows, lambda row: row.id, default=20, maximum=100)
    return respond({"data": [profile_document(row) for row in chosen], "links": links})


@operation(blueprint, "GET", "/api/profiles/<id>", limit=LARGE, scopes=_READ, parameters=_SHAPE)
def get_profile(account: Account, id: str) -> Response:  # noqa: A002 - the path's name
    """One profile."""
    return respond({"data": profile_document(profile_of(account, id))})


@operation(blueprint, "POST", "/api/profiles", limit=LARGE, scopes=_WRITE, parameters=_SHAPE)
def create_profile(account: Account) -> Response:
    """Create a profile; 409 names the one that already has an identifier."""
    attributes = body(CreateProfile).data.attributes.given()
    return respond({"data": profile_document(account.create_profile(attributes))}, 201)


@operation(blueprint, "PATCH", "/api/profiles/<id>", limit=LARGE, scopes=_WRITE, parameters=_SHAPE)
def update_profile(account: Account, id: str) -> Response:  # noqa: A002 - the path's name
    """Change a profile; null clears."""
    change = body(ChangeProfile).data
    if change.id != id:
        raise invalid("The id of the body is not that of the path.", pointer="/data/id")
    profile = profile_of(account, id)
    account.change_profile(profile, change.attributes.given())
    return respond({"data": profile_document(profile)})


@operation(blueprint, "POST", "/api/profile-import", limit=LARGE, scopes=_WRITE, parameters=_SHAPE)
def create_or_update_profile(account: Account) -> Response:
    """Create (201) or change (200) the profile with these identifiers; null clears."""
    upsert = body(UpsertProfile).data
    attributes = upsert.attributes.given()
    if upsert.id:
        profile, is_new = profile_of(account, upsert.id), False
        account.change_profile(profile, attributes)
    else:
        profile, is_new = account.upsert_profile(attributes)
    return respond({"data": profile_document(profile)}, 201 if is_new else 200)


def _field(profile: Profile, name: str) -> Any:
    return getattr(profile, "suppressed_at" if name == _SUPPRESSED else name)


def profile_of(account: Account, profile_id: str) -> Profile:
    """The profile with this id. Raises 404."""
    profile = account.profiles.get(profile_id)
    if profile is None:
        raise not_found(f"A profile with id {profile_id} does not exist.")
    return profile


def profile_document(
    profile: Profile, times: Mapping[str, datetime | None] | None = None
) -> Document:
    """A profile as a resource; inside a list with the moment it joined, among `times`."""
    attributes = {
        "email": profile.email,
        "phone_number": profile.phone_number,
        "external_id": profile.external_id,
        "first_name": profile.first_name,
        "last_name": profile.last_name,
        "organization": profile.organization,
        "locale": profile.locale,
        "title": profile.title,
        "image": profile.image,
        "created": write_time(profile.created),
        "updated": write_time(profile.updated),
        "last_event_date": write_time(profile.last_event_date),
        "location": {**_NOWHERE, **profile.location},
        "properties": profile.properties,
    }
    attributes |= {name: write_time(time) for name, time in (times or {}).items()}
    if request.args.get("additional-fields[profile]") == "subscriptions":
        attributes["subscriptions"] = _subscriptions(profile)
    return {
        "type": "profile",
        "id": profile.id,
        "attributes": sparse(attributes, "profile"),
        "links": {"self": url(f"/api/profiles/{profile.id}")},
    }


_NOWHERE: Document = dict.fromkeys(
    (
        "address1",
        "address2",
        "city",
        "country",
        "latitude",
        "longitude",
        "region",
        "zip",
        "timezone",
        "ip",
    )
)


def _subscriptions(profile: Profile) -> Document:
    """Email consent only: the sandbox knows no other channel."""
    suppression = []
    if profile.suppressed_at is not None:
        at = write_time(profile.suppressed_at)
        suppression.append({"reason": "USER_SUPPRESSED", "timestamp": at})
    marketing = {
        "can_receive_email_marketing": not suppression,
        "consent": profile.consent,
        "consent_timestamp": None,
        "last_updated": None,
        "suppression": suppression,
        "list_suppressions": [],
    }
    return {"email": {"marketing": marketing}}
