"""``/api/admin/integrations/klaviyo/lists``: the lists in the Klaviyo account."""

from __future__ import annotations

from typing import Any

from apiflask import APIBlueprint

from service.api.access import begin_outside_change, state, tenant_id, transaction
from service.api.audit_log import record
from service.api.klaviyo_schemas import KlaviyoList, KlaviyoListsPage, ListsQuery, NewList
from service.api.paging import Keyset, Text
from service.api.problem_docs import can_answer
from service.klaviyo.lists import create_list, read_lists

blueprint = APIBlueprint("klaviyo_lists", __name__, tag="Klaviyo")

PATH = "/api/admin/integrations/klaviyo/lists"
# A person waits for the response.
_ATTEMPTS = 2
# Klaviyo sorts and pages the lists; our cursor contains its own.
_PAGES = Keyset("klaviyo lists", cursor=Text)


@blueprint.get(PATH)
@blueprint.input(ListsQuery, location="query", arg_name="page")
@blueprint.output(KlaviyoListsPage)
@can_answer("not-connected", "provider-refused", "provider-unavailable")
def list_klaviyo_lists(page: ListsQuery) -> dict[str, Any]:
    """List the account's lists, ten per page, with their profile counts.

    Klaviyo counts profiles slowly. Each request refreshes a few counts that are missing or older
    than ten minutes; request the page again for the next ones.
    """
    lists, following = read_lists(
        state().settings,
        state().pool,
        tenant_id(),
        _PAGES.decode(page.cursor)["after_cursor"],
        counts=page.count,
        attempts=_ATTEMPTS,
    )
    next_cursor = following and _PAGES.encode({"cursor": following})
    return {"data": lists, "next_cursor": next_cursor}


@blueprint.post(PATH)
@blueprint.input(NewList, arg_name="new")
@blueprint.output(KlaviyoList, status_code=201)
@can_answer("not-connected", "provider-refused", "provider-unavailable")
def create_klaviyo_list(new: NewList) -> dict[str, Any]:
    """Create a list in the account. Names need not be unique."""
    begin_outside_change()
    created = create_list(state().settings, state().pool, tenant_id(), new.name)
    with transaction() as conn:
        record(conn, "klaviyo_list.created", new.name)
        return created
