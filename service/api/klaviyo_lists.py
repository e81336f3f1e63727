"""``/api/admin/integrations/klaviyo/lists``: the account's lists, to choose among."""

from __future__ import annotations

from typing import Any

from apiflask import APIBlueprint

from service.api.access import state, tenant_id
from service.api.klaviyo_schemas import KlaviyoList, KlaviyoListsPage, ListsQuery, NewList
from service.api.paging import KLAVIYO_LISTS, decode_cursor, encode_cursor
from service.klaviyo.lists import create_list, read_lists

blueprint = APIBlueprint("klaviyo_lists", __name__, tag="Klaviyo")

PATH = "/api/admin/integrations/klaviyo/lists"
# Somebody is waiting for the answer.
_ATTEMPTS = 2


@blueprint.get(PATH)
@blueprint.input(ListsQuery, location="query", arg_name="page")
@blueprint.output(KlaviyoListsPage)
def list_klaviyo_lists(page: ListsQuery) -> dict[str, Any]:
    """The account's lists, ten a page, with how many profiles each has and as of when.

    Klaviyo tells sizes slowly, so a few that are missing or older than ten minutes are asked for
    and the others are as last known; asking again brings the next few.
    """
    after = decode_cursor(KLAVIYO_LISTS, page.cursor)
    lists, following = read_lists(
        state().settings,
        state().pool,
        tenant_id(),
        after[1] if after else None,
        counts=page.count,
        attempts=_ATTEMPTS,
    )
    return {
        "data": lists,
        "next_cursor": encode_cursor("klaviyo lists", following) if following else None,
    }


@blueprint.post(PATH)
@blueprint.input(NewList, arg_name="new")
@blueprint.output(KlaviyoList, status_code=201)
def create_klaviyo_list(new: NewList) -> dict[str, Any]:
    """Make a list in the account; names need not be unique there."""
    return create_list(state().settings, state().pool, tenant_id(), new.name)
