"""``/api/admin/notifications``: outgoing notifications about failed and recovered syncs."""

from __future__ import annotations

from typing import Any, Literal
from urllib.parse import urlsplit
from uuid import UUID

from apiflask import APIBlueprint
from pydantic import Field

from service.api.access import state, tenant_id, transaction
from service.api.audit_log import record, recording
from service.api.problems import NotFoundError
from service.api.schemas import WITHOUT_NUL, Instant, RequestModel, ResponseModel
from service.core.db import Connection
from service.core.queries import query
from service.notifications.hooks import read_hook, remove_hook, set_hook
from service.notifications.outbox import send_test

blueprint = APIBlueprint("notifications", __name__, tag="Notifications")

PATH = "/api/admin/notifications"
_SHOWN = 20

Topic = Literal["klaviyo_sync.failed", "klaviyo_sync.recovered", "test"]


class NewHook(RequestModel):
    """A notification URL."""

    url: str = Field(
        min_length=1, max_length=500, pattern=WITHOUT_NUL, description="An https address."
    )


class Notification(ResponseModel):
    """A notification and its delivery."""

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
    """The notification URL and the newest notifications."""

    url: str | None = Field(description="Null if notifications are off.")
    secret_last_four: str | None
    set_at: Instant | None
    data: list[Notification] = Field(description="Up to 20, newest first.")


class HookWithSecret(Notifications):
    """The notification settings with the new secret, which is shown only once."""

    secret: str = Field(description="Signs notifications as in Standard Webhooks.")


def read_notifications(conn: Connection, tenant: UUID) -> dict[str, Any]:
    """The notification URL and the newest notifications."""
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
    """Get the notification URL and the newest notifications, without the secret."""
    with transaction() as conn:
        return read_notifications(conn, tenant_id())


@blueprint.post(PATH)
@blueprint.input(NewHook, arg_name="given")
@blueprint.output(HookWithSecret)
def set_notification_hook(given: NewHook) -> dict[str, Any]:
    """Set the notification URL and get a new secret for it.

    The previous secret stops working at once, even for the same URL.
    """
    with transaction() as conn:
        before = _address(conn)
        hook = set_hook(state().settings, conn, tenant_id(), given.url)
        # The secret is new, even if the address is not.
        record(conn, "notifications.set", before=before, after=_address(conn))
        return {**read_notifications(conn, tenant_id()), "secret": hook.secret}


@blueprint.delete(PATH)
@blueprint.output({}, status_code=204)
def remove_notification_hook() -> str:
    """Turn notifications off and delete the existing ones."""
    with (
        transaction() as conn,
        recording(conn, "notifications.removed", read=lambda: _address(conn)),
    ):
        remove_hook(conn, tenant_id())
    return ""


@blueprint.post(f"{PATH}/test")
@blueprint.output(Notification)
def test_notification_hook() -> Any:
    """Send a test notification now and get the result of its delivery."""
    with transaction() as conn:
        record(conn, "notifications.tested")
        if read_hook(conn, tenant_id()) is None:
            raise NotFoundError("There is no notification URL.")
    return send_test(state().settings, state().pool, tenant_id())


def _address(conn: Connection) -> dict[str, Any] | None:
    """Where notifications go, without what may be secret in the URL."""
    hook = read_hook(conn, tenant_id())
    return {"host": urlsplit(hook["url"]).hostname} if hook else None
