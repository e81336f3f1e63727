"""``/api/admin/schedules``: what runs by itself, when next, and pausing it."""

from __future__ import annotations

from typing import Any

from apiflask import APIBlueprint

from service.api.access import state, tenant_id, transaction, who
from service.api.problems import NotFoundError
from service.api.schemas import RequestModel, Schedule, Schedules
from service.queue.schedules import BY_NAME, list_schedules, pause, read_schedule, resume

blueprint = APIBlueprint("schedules", __name__, tag="Schedules")


class ScheduleChange(RequestModel):
    """Whether the schedule is to be paused."""

    is_paused: bool


@blueprint.get("/api/admin/schedules")
@blueprint.output(Schedules)
def show_schedules() -> dict[str, Any]:
    """What runs by itself: when next, whether paused, and the newest run of its kind."""
    with transaction() as conn:
        return {"data": list_schedules(conn, state().settings, tenant_id())}


@blueprint.patch("/api/admin/schedules/<name>")
@blueprint.input(ScheduleChange, arg_name="change")
@blueprint.output(Schedule)
def change_schedule(name: str, change: ScheduleChange) -> dict[str, Any]:
    """Pause a schedule, or resume it from its next time on. What runs already goes on."""
    if name not in BY_NAME:
        raise NotFoundError(f"No schedule is called '{name[:40]}'.")
    with transaction() as conn:
        if change.is_paused:
            pause(conn, tenant_id(), name, who(conn))
        else:
            resume(conn, tenant_id(), name)
        return read_schedule(conn, state().settings, tenant_id(), name)
