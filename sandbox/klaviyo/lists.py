"""/api/lists and the profiles on them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask import Blueprint, Response, request

from .bodies import CreateList, ListMembers
from .errors import ApiError, error_object, invalid, not_found
from .limits import EXTRA_SMALL, LARGE, MEDIUM
from .operations import Document, operation, respond, url
from .operations import read_body as body
from .pages import filtered, page, sort_order, sparse, write_time
from .profiles import profile_document
from .state import Account, ProfileList

blueprint = Blueprint("lists", __name__)

_READ, _WRITE = ("lists:read",), ("lists:write",)
_READ_MEMBERS = ("lists:read", "profiles:read")
_WRITE_MEMBERS = ("lists:write", "profiles:write")
_MEMBERS = "/api/lists/<id>/relationships/profiles"
_MEMBER_PARAMETERS = ("filter", "page[cursor]", "page[size]", "sort")
_COUNT = "additional-fields[list]"

_LIST_FILTERS = {
    "id": ("any", "equals"),
    "name": ("any", "equals"),
    "created": ("greater-than",),
    "updated": ("greater-than",),
}
_TIMES = ("greater-or-equal", "greater-than", "less-or-equal", "less-than")
_MEMBER_FILTERS = {
    "email": ("any", "equals"),
    "phone_number": ("any", "equals"),
    "joined_group_at": _TIMES,
}


@operation(
    blueprint,
    "GET",
    "/api/lists",
    limit=LARGE,
    scopes=_READ,
    parameters=("fields[list]", "filter", "page[cursor]", "page[size]", "sort"),
)
def get_lists(account: Account) -> Response:
    """All lists, ten to a page."""
    field, backwards = sort_order(("created", "id", "name", "updated"), "created")
    rows = filtered(
        list(account.lists.values()), _LIST_FILTERS, lambda name: lambda row: getattr(row, name)
    )
    rows.sort(key=lambda row: (getattr(row, field), row.id), reverse=backwards)
    chosen, links = page(rows, lambda row: row.id, default=10, maximum=10)
    return respond({"data": [list_document(row) for row in chosen], "links": links})


@operation(
    blueprint, "POST", "/api/lists", limit=MEDIUM, scopes=_WRITE, parameters=("fields[list]",)
)
def create_list(account: Account) -> Response:
    """Create an empty list."""
    attributes = body(CreateList).data.attributes
    made = account.add_list(attributes.name, attributes.opt_in_process)
    return respond({"data": list_document(made)}, 201)


@operation(
    blueprint,
    "GET",
    "/api/lists/<id>",
    limit=LARGE,
    # Counting the profiles of a list is dear.
    dear=(_COUNT, EXTRA_SMALL),
    scopes=_READ,
    parameters=("fields[list]", _COUNT),
)
def get_list(account: Account, id: str) -> Response:  # noqa: A002 - the path's name
    """One list, on request with the number of its profiles."""
    found = _list_of(account, id)
    counted = request.args.get(_COUNT)
    if counted not in (None, "profile_count"):
        raise invalid(f"'{counted}' is not an additional field.", parameter=_COUNT)
    document = list_document(found)
    if counted:
        document["attributes"]["profile_count"] = len(found.members)
    return respond({"data": document})


@operation(
    blueprint,
    "GET",
    "/api/lists/<id>/profiles",
    limit=LARGE,
    scopes=_READ_MEMBERS,
    parameters=(*_MEMBER_PARAMETERS, "additional-fields[profile]", "fields[profile]"),
)
def get_profiles_for_list(account: Account, id: str) -> Response:  # noqa: A002
    """The profiles on a list with the moment each joined, newest first."""
    chosen, members, links = _member_page(account, id)
    documents = [
        profile_document(account.profiles[each], {"joined_group_at": members[each]})
        for each in chosen
    ]
    return respond({"data": documents, "links": links})


@operation(
    blueprint,
    "GET",
    _MEMBERS,
    limit=LARGE,
    scopes=_READ_MEMBERS,
    parameters=_MEMBER_PARAMETERS,
)
def get_profile_ids_for_list(account: Account, id: str) -> Response:  # noqa: A002
    """The ids of the profiles on a list, newest first."""
    chosen, _, links = _member_page(account, id)
    data = [{"type": "profile", "id": profile_id} for profile_id in chosen]
    return respond({"data": data, "links": links})


@operation(blueprint, "POST", _MEMBERS, limit=MEDIUM, scopes=_WRITE_MEMBERS)
def add_profiles_to_list(account: Account, id: str) -> Response:  # noqa: A002
    """Add profiles; members stay as they are. Consent does not change."""
    found, profile_ids = _list_of(account, id), _changed_ids()
    unknown = [i for i, each in enumerate(profile_ids) if each not in account.profiles]
    if unknown:
        raise ApiError(404, [_unknown_profile(i, profile_ids[i]) for i in unknown])
    account.join(found, profile_ids)
    return respond(None, 204)


@operation(blueprint, "DELETE", _MEMBERS, limit=MEDIUM, scopes=_WRITE_MEMBERS)
def remove_profiles_from_list(account: Account, id: str) -> Response:  # noqa: A002
    """Remove profiles; profiles that are not on the list are ignored."""
    found = _list_of(account, id)
    for profile_id in _changed_ids():
        found.members.pop(profile_id, None)
    return respond(None, 204)


def list_document(each: ProfileList) -> Document:
    """A list as a resource."""
    attributes = {
        "name": each.name,
        "created": write_time(each.created),
        "updated": write_time(each.updated),
        "opt_in_process": each.opt_in_process,
    }
    self_link = url(f"/api/lists/{each.id}")
    return {
        "type": "list",
        "id": each.id,
        "attributes": sparse(attributes, "list"),
        "relationships": {
            "profiles": {
                "links": {
                    "self": f"{self_link}/relationships/profiles",
                    "related": f"{self_link}/profiles",
                }
            }
        },
        "links": {"self": self_link},
    }


def _list_of(account: Account, list_id: str) -> ProfileList:
    found = account.lists.get(list_id)
    if found is None:
        raise not_found(f"A list with id {list_id} does not exist.")
    return found


def _changed_ids() -> list[str]:
    return [reference.id for reference in body(ListMembers, maximum=5_000_000).data]


def _unknown_profile(position: int, profile_id: str) -> Document:
    detail = f"A profile with id {profile_id} does not exist."
    return error_object(404, "not_found", "Not found.", detail, pointer=f"/data/{position}/id")


def _member_page(account: Account, list_id: str) -> tuple[Any, dict[str, Any], Document]:
    """Ids of the members on this page, when each joined, and the links."""
    members = _list_of(account, list_id).members
    _, backwards = sort_order(("joined_group_at",), "-joined_group_at")

    def getter(name: str) -> Callable[[str], Any]:
        if name == "joined_group_at":
            return lambda each: members[each]
        return lambda each: getattr(account.profiles[each], name)

    rows = filtered(list(members), _MEMBER_FILTERS, getter)
    rows.sort(key=lambda each: (write_time(members[each]) or "", each), reverse=backwards)
    chosen, links = page(rows, lambda each: each, default=20, maximum=100)
    return chosen, members, links
