"""/api/flows: the flows that joining a list starts."""

from __future__ import annotations

from flask import Blueprint, Response

from .errors import not_found
from .limits import SMALL
from .operations import Document, operation, respond, url
from .pages import page, sort_order, sparse, write_time
from .state import Account, Flow

blueprint = Blueprint("flows", __name__)


@operation(
    blueprint,
    "GET",
    "/api/flows",
    limit=SMALL,
    scopes=("flows:read",),
    parameters=("fields[flow]", "page[cursor]", "page[size]", "sort"),
)
def get_flows(account: Account) -> Response:
    """All flows, oldest first unless sorted otherwise."""
    field, backwards = sort_order(("created", "id", "name", "status", "updated"), "created")
    rows = sorted(
        account.flows.values(), key=lambda row: (getattr(row, field), row.id), reverse=backwards
    )
    chosen, links = page(rows, lambda row: row.id, default=50, maximum=50)
    return respond({"data": [flow_document(row) for row in chosen], "links": links})


@operation(
    blueprint,
    "GET",
    "/api/lists/<id>/flow-triggers",
    limit=SMALL,
    scopes=("flows:read", "lists:read"),
    parameters=("fields[flow]",),
)
def get_flows_triggered_by_list(account: Account, id: str) -> Response:  # noqa: A002
    """The flows that joining a list starts."""
    if id not in account.lists:
        raise not_found(f"A list with id {id} does not exist.")
    triggered = [flow for flow in account.flows.values() if flow.list_id == id]
    links = {"self": url(f"/api/lists/{id}/flow-triggers"), "next": None, "prev": None}
    return respond({"data": [flow_document(flow) for flow in triggered], "links": links})


def flow_document(flow: Flow) -> Document:
    """A flow as a resource."""
    attributes = {
        "name": flow.name,
        "status": flow.status,
        "archived": False,
        "created": write_time(flow.created),
        "updated": write_time(flow.updated),
        "trigger_type": "Added to List",
    }
    return {
        "type": "flow",
        "id": flow.id,
        "attributes": sparse(attributes, "flow"),
        "links": {"self": url(f"/api/flows/{flow.id}")},
    }
