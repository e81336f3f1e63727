"""/api/data-privacy-deletion-jobs."""

from __future__ import annotations

from flask import Blueprint, Response

from .bodies import CreateDeletionJob
from .limits import SMALL
from .operations import operation, respond
from .operations import read_body as body
from .state import Account

blueprint = Blueprint("privacy", __name__)


@operation(
    blueprint,
    "POST",
    "/api/data-privacy-deletion-jobs",
    limit=SMALL,
    scopes=("data-privacy:write",),
)
def request_profile_deletion(account: Account) -> Response:
    """Delete a person by exactly one identifier. Accepted whether or not they exist."""
    given = body(CreateDeletionJob).data.attributes.profile.data
    profile = (
        account.profiles.get(given.id)
        if given.id
        else account.find_profile(given.attributes.model_dump(exclude_none=True))
    )
    if profile is not None:
        account.delete_profile(profile)
    return respond(None, 202)
