"""Schedules as pages show them."""

from __future__ import annotations

from service.api.access import state, tenant_id
from service.api.schemas import Schedule
from service.core.db import Connection
from service.queue.schedules import list_schedules


def read_schedules(conn: Connection) -> list[Schedule]:
    """The store's schedules with their next times and newest runs."""
    rows = list_schedules(conn, state().settings, tenant_id())
    return [Schedule.model_validate(row) for row in rows]
