"""``/api/admin/privacy``: answers to customers' data requests, and receipts of requests met."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from apiflask import APIBlueprint
from flask import Response
from psycopg import sql

from service.api.access import state, tenant_id, transaction
from service.api.paging import EXPORTS, RECEIPTS, PageQuery, decode_cursor, split_page
from service.api.problems import NotFoundError
from service.api.schemas import PrivacyExportsPage, PrivacyReceiptsPage
from service.core.queries import query
from service.privacy.exports import open_export

blueprint = APIBlueprint("privacy", __name__, tag="Privacy")


@blueprint.get("/api/admin/privacy/exports")
@blueprint.input(PageQuery, location="query", arg_name="page")
@blueprint.output(PrivacyExportsPage)
def list_privacy_exports(page: PageQuery) -> dict[str, Any]:
    """Answers to data requests that can still be fetched, newest first."""
    after = decode_cursor(EXPORTS, page.cursor)
    rows = _page(query("api.list_privacy_exports"), after, page.limit)
    data, next_cursor = split_page(rows, page.limit, "privacy exports", "created_at", "export_id")
    return {"data": data, "next_cursor": next_cursor}


@blueprint.get("/api/admin/privacy/exports/<uuid:export_id>")
@blueprint.doc(responses={200: "The document, as a JSON file."})
def download_privacy_export(export_id: UUID) -> Response:
    """Everything held of the customer who asked, as a JSON file."""
    with transaction() as conn:
        document = open_export(state().settings, conn, tenant_id(), export_id)
    if document is None:
        raise NotFoundError("There is no such export, or it has expired.")
    return Response(
        document,
        content_type="application/json",
        headers={"Content-Disposition": f'attachment; filename="data-request-{export_id}.json"'},
    )


@blueprint.get("/api/admin/privacy/receipts")
@blueprint.input(PageQuery, location="query", arg_name="page")
@blueprint.output(PrivacyReceiptsPage)
def list_privacy_receipts(page: PageQuery) -> dict[str, Any]:
    """Privacy requests that were met, newest first, without any personal data."""
    after = decode_cursor(RECEIPTS, page.cursor)
    rows = _page(query("api.list_privacy_receipts"), after, page.limit)
    data, next_cursor = split_page(
        rows, page.limit, "privacy receipts", "completed_at", "receipt_id"
    )
    return {"data": data, "next_cursor": next_cursor}


def _page(statement: sql.SQL, after: tuple[Any, ...] | None, limit: int) -> list[dict[str, Any]]:
    with transaction() as conn:
        return conn.execute(
            statement,
            {
                "tenant_id": tenant_id(),
                "after_at": after[1] if after else None,
                "after_id": after[2] if after else None,
                "row_limit": limit + 1,
            },
        ).fetchall()
