"""``/api/admin/audit-log``: who changed what, and when."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any
from uuid import UUID

from apiflask import APIBlueprint
from flask import Response
from pydantic import AwareDatetime, Field, StringConstraints

from service.api.access import access, state, tenant_id, transaction
from service.api.csv_answer import CSV_RESPONSES, answer_csv
from service.api.paging import Keyset, PageQuery
from service.api.schemas import WITHOUT_NUL, Instant, Page, RequestModel, ResponseModel, Time
from service.core.csv_stream import stream_csv
from service.core.db import Connection, tenant_transaction
from service.core.queries import query
from service.tenants import audit
from service.tenants.tokens import ActorKind

blueprint = APIBlueprint("audit_log", __name__, tag="Access")

PATH = "/api/admin/audit-log"
_BY_TIME = Keyset("audit-log", made_at=AwareDatetime, entry_id=UUID)
_Exact = Annotated[str, StringConstraints(max_length=300, pattern=WITHOUT_NUL)]


class AuditFilters(RequestModel):
    """Which entries."""

    actor: _Exact | None = Field(None, description="Only changes by this person or token.")
    action: _Exact | None = Field(None, description="Only this action.")
    since: Time | None = Field(None, description="Only changes at or after this time.")


class AuditQuery(AuditFilters, PageQuery):
    """Which page of the audit log."""


class AuditEntry(ResponseModel):
    """A change."""

    entry_id: UUID
    made_at: Instant
    actor: str = Field(description="A person, a token's name and end, or the command line.")
    actor_kind: ActorKind = Field(description="Tells apart actors of the same name.")
    credential_id: UUID | None = Field(description="Id of the token or session; null for others.")
    action: str = Field(description="What was done, such as `rfm_settings.changed`.")
    subject: str = Field(description="Id or name of what was changed; may be empty.")
    before: Any = Field(description="Values before the change; null if there were none.")
    after: Any = Field(description="Values after the change; null if there are none.")


class AuditPage(Page[AuditEntry]):
    """A page of the audit log, newest first."""


def record(
    conn: Connection, action: str, subject: object = "", *, before: Any = None, after: Any = None
) -> None:
    """Record a change by the request's credential, in its transaction.

    Args:
        conn: The tenant's transaction.
        action: What is done, as ``noun.verb``.
        subject: Id or name of what is changed.
        before: The values before the change, if there were any.
        after: The values after it.
    """
    audit.record_change(conn, access(), action, subject=subject, before=before, after=after)


@contextmanager
def recording(
    conn: Connection, action: str, subject: object = "", *, read: Callable[[], Any]
) -> Iterator[None]:
    """As :func:`record`, with what ``read`` gives before and after the block, if that differs."""
    with audit.recording(conn, access(), action, subject=subject, read=read):
        yield


def read_audit_log(conn: Connection, page: AuditQuery) -> dict[str, Any]:
    """A page of the audit log, as :class:`AuditPage`."""
    return _BY_TIME.read_page(
        conn, page, query("tenants.list_changes"), tenant_id=tenant_id(), **_filters(page)
    )


@blueprint.get(PATH)
@blueprint.input(AuditQuery, location="query", arg_name="page")
@blueprint.output(AuditPage)
def list_audit_log(page: AuditQuery) -> dict[str, Any]:
    """List changes, newest first, with the values before and after."""
    with transaction() as conn:
        return read_audit_log(conn, page)


@blueprint.get(f"{PATH}.csv")
@blueprint.input(AuditFilters, location="query", arg_name="filters")
@blueprint.doc(responses=CSV_RESPONSES)
def export_audit_log(filters: AuditFilters) -> Response:
    """Download all changes as a CSV file, newest first."""
    return answer_csv(_export(tenant_id(), filters), "audit-log.csv")


def _export(tenant: UUID, filters: AuditFilters) -> Iterator[bytes]:
    timeout_ms = state().settings.statement_timeout_ms
    with tenant_transaction(state().pool, tenant, read_only=True, timeout_ms=timeout_ms) as conn:
        parameters = {"tenant_id": tenant, **_filters(filters)}
        yield from stream_csv(conn, query("tenants.export_changes"), parameters)


def _filters(filters: AuditFilters) -> dict[str, Any]:
    return filters.model_dump(include={"actor", "action", "since"})
