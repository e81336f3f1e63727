"""``POST /webhooks/shopify``, and under ``/api/admin/webhooks`` what could not be processed."""

from __future__ import annotations

from typing import Any

from apiflask import APIBlueprint
from flask import g, request
from pydantic import Field

from service.api.access import state, tenant_id, transaction
from service.api.paging import WEBHOOKS, WITHOUT_NUL, PageQuery, decode_cursor, split_page
from service.api.problems import NotFoundError
from service.api.schemas import Webhook, WebhooksPage
from service.core.queries import query
from service.webhooks.events import retry_webhooks
from service.webhooks.inbox import MAX_BODY_BYTES, Delivery, receive

blueprint = APIBlueprint("webhooks", __name__, tag="Webhooks", enable_openapi=False)
admin_blueprint = APIBlueprint("set_aside_webhooks", __name__, tag="Webhooks")


@blueprint.post("/webhooks/shopify")
def receive_shopify() -> tuple[str, int]:
    """Take a webhook of Shopify's in and answer at once; a job does what it asks for.

    The answer is the same whether the shop is known or not: it says that the signature fits.
    """
    g.is_quiet = True
    request.max_content_length = MAX_BODY_BYTES
    delivery = Delivery.of(dict(request.headers), request.get_data(cache=False))
    receive(state().settings, state().pool, delivery)
    return "", 200


class WebhooksQuery(PageQuery):
    """Which page of the webhooks that were set aside."""

    topic: str | None = Field(
        None, max_length=100, pattern=WITHOUT_NUL, description="Only webhooks of this topic."
    )


@admin_blueprint.get("/api/admin/webhooks")
@admin_blueprint.input(WebhooksQuery, location="query", arg_name="page")
@admin_blueprint.output(WebhooksPage)
def list_set_aside_webhooks(page: WebhooksQuery) -> dict[str, Any]:
    """Webhooks that could not be processed, with the reason and what to do, newest first."""
    after = decode_cursor(WEBHOOKS, page.cursor)
    with transaction() as conn:
        rows = conn.execute(
            query("api.list_webhooks"),
            {
                "tenant_id": tenant_id(),
                "topic": page.topic,
                "after_at": after[1] if after else None,
                "after_id": after[2] if after else None,
                "row_limit": page.limit + 1,
            },
        ).fetchall()
    data, next_cursor = split_page(rows, page.limit, "webhooks", "received_at", "webhook_id")
    return {"data": data, "next_cursor": next_cursor}


@admin_blueprint.post("/api/admin/webhooks/<webhook_id>/retry")
@admin_blueprint.output(Webhook, status_code=202)
def retry_webhook(webhook_id: str) -> dict[str, Any]:
    """Try a webhook that was set aside once more."""
    if "\0" in webhook_id:
        raise NotFoundError("No webhook with this id has been set aside.")
    with transaction() as conn:
        retried = retry_webhooks(conn, tenant_id(), webhook_id)
    if not retried:
        raise NotFoundError("No webhook with this id has been set aside.")
    return retried[0]
