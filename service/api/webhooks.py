"""``POST /webhooks/shopify``, and ``/api/admin/webhooks``: webhooks that were not processed."""

from __future__ import annotations

from typing import Any

from apiflask import APIBlueprint
from flask import g, request
from pydantic import AwareDatetime, Field

from service.api.access import state, tenant_id, transaction
from service.api.audit_log import record
from service.api.paging import Keyset, PageQuery, Text
from service.api.problem_docs import can_answer
from service.api.problems import NotFoundError
from service.api.schemas import WITHOUT_NUL, Webhook, WebhooksPage
from service.core.queries import query
from service.webhooks.events import confirm_webhook, reject_webhook, retry_webhooks
from service.webhooks.inbox import Delivery, receive

blueprint = APIBlueprint("webhooks", __name__, tag="Webhooks")
admin_blueprint = APIBlueprint("set_aside_webhooks", __name__, tag="Webhooks")

_NOT_HELD = "There is no held webhook with this id."
_BY_TIME = Keyset("webhooks", received_at=AwareDatetime, webhook_id=Text)


@blueprint.post("/webhooks/shopify")
@blueprint.doc(responses={200: "The webhook is stored, or of no use and ignored."})
@can_answer("not-signed", "too-large", "database-unavailable")
def receive_shopify() -> tuple[str, int]:
    """Store a webhook from Shopify; a job processes it later.

    A valid signature gets the same answer for known and unknown shops.
    """
    g.is_quiet = True
    delivery = Delivery.of(dict(request.headers), request.get_data())
    receive(state().settings, state().pool, delivery)
    return "", 200


class WebhooksQuery(PageQuery):
    """Which page of the quarantined and held webhooks."""

    topic: str | None = Field(
        None, max_length=100, pattern=WITHOUT_NUL, description="Only webhooks with this topic."
    )


@admin_blueprint.get("/api/admin/webhooks")
@admin_blueprint.input(WebhooksQuery, location="query", arg_name="page")
@admin_blueprint.output(WebhooksPage)
def list_set_aside_webhooks(page: WebhooksQuery) -> dict[str, Any]:
    """List webhooks that were not processed, newest first, with the reason and advice."""
    with transaction() as conn:
        return _BY_TIME.read_page(
            conn, page, query("api.list_webhooks"), tenant_id=tenant_id(), topic=page.topic
        )


@admin_blueprint.post("/api/admin/webhooks/<webhook_id>/retry")
@admin_blueprint.output(Webhook, status_code=202)
def retry_webhook(webhook_id: str) -> dict[str, Any]:
    """Queue a quarantined webhook again."""
    with transaction() as conn:
        retried = retry_webhooks(conn, tenant_id(), webhook_id)
        if not retried:
            raise NotFoundError("There is no quarantined webhook with this id.")
        record(conn, "webhook.retried", webhook_id)
        return retried[0]


@admin_blueprint.post("/api/admin/webhooks/<webhook_id>/confirm")
@admin_blueprint.output(Webhook, status_code=202)
def confirm_held_webhook(webhook_id: str) -> dict[str, Any]:
    """Do what a held webhook says: an erasure, or the removal of the store.

    Deleted data cannot be restored. Ask the store's owner first.
    """
    with transaction() as conn:
        confirmed = confirm_webhook(conn, tenant_id(), webhook_id)
        if confirmed is None:
            raise NotFoundError(_NOT_HELD)
        record(conn, "webhook.confirmed", webhook_id)
        return confirmed


@admin_blueprint.post("/api/admin/webhooks/<webhook_id>/reject")
@admin_blueprint.output(Webhook)
def reject_held_webhook(webhook_id: str) -> dict[str, Any]:
    """Reject a held webhook; nothing of what it says is done."""
    with transaction() as conn:
        rejected = reject_webhook(conn, tenant_id(), webhook_id)
        if rejected is None:
            raise NotFoundError(_NOT_HELD)
        record(conn, "webhook.rejected", webhook_id)
        return rejected
