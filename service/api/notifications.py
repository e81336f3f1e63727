"""``/api/admin/notifications``: where a tenant is told that a sync fails or works again."""

from __future__ import annotations

from typing import Any, Literal
from uuid import UUID

from apiflask import APIBlueprint
from pydantic import Field

from service.api.access import state, tenant_id, transaction
from service.api.paging import WITHOUT_NUL
from service.api.problems import NotFoundError
from service.api.schemas import Instant, RequestModel, ResponseModel
from service.core.db import Connection
from service.core.queries import query
from service.notifications.hooks import read_hook, remove_hook, set_hook
from service.notifications.outbox import send_test

blueprint = APIBlueprint("notifications", __name__, tag="Notifications")

PATH = "/api/admin/notifications"
_SHOWN = 20

Topic = Literal["klaviyo_sync.failed", "klaviyo_sync.recovered", "test"]


class NewHook(RequestModel):
    """Where to send notifications."""

    url: str = Field(
        min_length=1, max_length=500, pattern=WITHOUT_NUL, description="An https address."
    )


class Notification(ResponseModel):
    """Something that was told, or is to be."""

    notification_id: UUID
    topic: Topic
    config_id: UUID | None
    run_id: UUID | None
    list_name: str | None
    state: Literal["pending", "delivered", "failed"]
    attempts: int
    error: str | None = Field(description="Why the last attempt failed.")
    created_at: Instant
    finished_at: Instant | None


class Notifications(ResponseModel):
    """Where notifications go, and the newest of them."""

    url: str | None = Field(description="Null while nobody is to be told.")
    secret_last_four: str | None
    set_at: Instant | None
    data: list[Notification] = Field(description="The newest first, 20 at most.")


class HookWithSecret(Notifications):
    """The same once with the secret, which is not shown again."""

    secret: str = Field(description="Signs what is sent, as Standard Webhooks has it.")


def read_notifications(conn: Connection, tenant: UUID) -> dict[str, Any]:
    """Where notifications go, and the newest of them."""
    hook = read_hook(conn, tenant)
    rows = conn.execute(
        query("api.list_notifications"), {"tenant_id": tenant, "row_limit": _SHOWN}
    ).fetchall()
    return {
        "url": hook and hook["url"],
        "secret_last_four": hook and hook["last_four"],
        "set_at": hook and hook["created_at"],
        "data": rows,
    }


@blueprint.get(PATH)
@blueprint.output(Notifications)
def show_notifications() -> dict[str, Any]:
    """Where notifications go, and the newest of them; of the secret only the end."""
    with transaction() as conn:
        return read_notifications(conn, tenant_id())


@blueprint.post(PATH)
@blueprint.input(NewHook, arg_name="given")
@blueprint.output(HookWithSecret)
def set_notification_hook(given: NewHook) -> dict[str, Any]:
    """Send notifications to this address from now on, signed with a new secret, which is answered.

    Asked again, for the same address too, the former secret signs nothing any more.
    """
    with transaction() as conn:
        hook = set_hook(state().settings, conn, tenant_id(), given.url)
        return {**read_notifications(conn, tenant_id()), "secret": hook.secret}


@blueprint.delete(PATH)
@blueprint.output({}, status_code=204)
def remove_notification_hook() -> str:
    """Send no notifications any more, and forget those there were."""
    with transaction() as conn:
        remove_hook(conn, tenant_id())
    return ""


@blueprint.post(f"{PATH}/test")
@blueprint.output(Notification)
def test_notification_hook() -> Any:
    """Send one notification that says nothing, now; the answer says whether it arrived."""
    with transaction() as conn:
        if read_hook(conn, tenant_id()) is None:
            raise NotFoundError("There is no address to send to.")
    return send_test(state().settings, state().pool, tenant_id())
