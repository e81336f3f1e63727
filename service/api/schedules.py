"""``/api/admin/schedules``: list, pause and resume schedules."""

from __future__ import annotations

from typing import Any

from apiflask import APIBlueprint

from service.api.access import actor, state, tenant_id, transaction
from service.api.audit_log import record
from service.api.paging import Keyset, PageQuery, Text
from service.api.problems import NotFoundError
from service.api.schemas import RequestModel, Schedule, SchedulesPage
from service.queue.schedules import (
    BY_NAME,
    is_paused,
    list_schedules,
    pause,
    read_schedule,
    resume,
)

blueprint = APIBlueprint("schedules", __name__, tag="Schedules")

_IN_ORDER = Keyset("schedules", name=Text)


class ScheduleChange(RequestModel):
    """Whether to pause the schedule."""

    is_paused: bool


@blueprint.get("/api/admin/schedules")
@blueprint.input(PageQuery, location="query", arg_name="page")
@blueprint.output(SchedulesPage)
def show_schedules(page: PageQuery) -> dict[str, Any]:
    """List your store's schedules with their next and last runs."""
    # They are few, and their order is that of the code.
    after = _IN_ORDER.decode(page.cursor)["after_name"]
    with transaction() as conn:
        rows = list_schedules(conn, state().settings, tenant_id())
    names = [row["name"] for row in rows]
    first = names.index(after) + 1 if after in names else 0
    return _IN_ORDER.split(rows[first:], page.limit)


@blueprint.patch("/api/admin/schedules/<name>")
@blueprint.input(ScheduleChange, arg_name="change")
@blueprint.output(Schedule)
def change_schedule(name: str, change: ScheduleChange) -> dict[str, Any]:
    """Pause or resume a schedule.

    A run that is in progress continues. A resumed schedule starts at its next regular time.
    """
    if name not in BY_NAME:
        raise NotFoundError(f"There is no schedule '{name[:40]}'.")
    action = "schedule.paused" if change.is_paused else "schedule.resumed"
    with transaction() as conn:
        before = {"is_paused": is_paused(conn, tenant_id(), name)}
        record(conn, action, name, before=before, after=change)
        if change.is_paused:
            pause(conn, tenant_id(), name, actor())
        else:
            resume(conn, tenant_id(), name)
        return read_schedule(conn, state().settings, tenant_id(), name)
