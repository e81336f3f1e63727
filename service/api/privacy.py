"""``/api/admin/privacy``: answers to data requests, and receipts of completed requests."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from apiflask import APIBlueprint
from flask import Response
from pydantic import AwareDatetime

from service.api.access import state, tenant_id, transaction
from service.api.paging import Keyset, PageQuery
from service.api.problems import NotFoundError
from service.api.schemas import PrivacyExportsPage, PrivacyReceiptsPage
from service.core.queries import query
from service.privacy.exports import open_export

blueprint = APIBlueprint("privacy", __name__, tag="Privacy")

_EXPORTS = Keyset("privacy exports", created_at=AwareDatetime, export_id=UUID)
_RECEIPTS = Keyset("privacy receipts", completed_at=AwareDatetime, receipt_id=UUID)


@blueprint.get("/api/admin/privacy/exports")
@blueprint.input(PageQuery, location="query", arg_name="page")
@blueprint.output(PrivacyExportsPage)
def list_privacy_exports(page: PageQuery) -> dict[str, Any]:
    """List answers to data requests that have not expired, newest first."""
    statement = query("api.list_privacy_exports")
    with transaction() as conn:
        return _EXPORTS.read_page(conn, page, statement, tenant_id=tenant_id())


@blueprint.get("/api/admin/privacy/exports/<uuid:export_id>")
@blueprint.doc(responses={200: "The export, as a JSON file."})
def download_privacy_export(export_id: UUID) -> Response:
    """Download all data about the customer who requested it, as a JSON file."""
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
    """List completed privacy requests, newest first, without personal data."""
    statement = query("api.list_privacy_receipts")
    with transaction() as conn:
        return _RECEIPTS.read_page(conn, page, statement, tenant_id=tenant_id())
