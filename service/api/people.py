"""``/api/admin/sessions`` and ``/api/admin/sign-in-links``: who is signed in to the admin UI."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

from apiflask import APIBlueprint
from flask import request
from pydantic import AwareDatetime, Field

from service.api.access import state, tenant_id, transaction
from service.api.audit_log import record
from service.api.paging import Keyset, PageQuery
from service.api.problems import NotFoundError
from service.api.schemas import Instant, Line, Page, RequestModel, ResponseModel
from service.core.config import public_address
from service.core.queries import query
from service.tenants import sessions
from service.tenants.tokens import SIGN_IN_LIFETIME, Scope, create_sign_in_code, sign_in_url

blueprint = APIBlueprint("people", __name__, tag="Access")

PATH = "/api/admin/sessions"
_BY_TIME = Keyset("sessions", begun_at=AwareDatetime, session_id=UUID)


class NewLink(RequestModel):
    """A sign-in link to create."""

    person: Line = Field(description="The person's name, which the history of changes shows.")
    scope: Scope = Field("write", description="What the session allows, as for tokens.")
    hours: int = Field(
        int(SIGN_IN_LIFETIME / timedelta(hours=1)),
        ge=1,
        le=168,
        description="Hours in which the link works.",
    )


class SignInLink(ResponseModel):
    """A sign-in link. It works once."""

    person: str
    scope: Scope
    link: str


class Session(ResponseModel):
    """A session of the admin UI."""

    session_id: UUID
    person: str | None = Field(description="Name given with the sign-in link; null for a token.")
    token_label: str | None = Field(description="The token that began it; null for a link.")
    token_last_four: str | None
    scope: Scope
    begun_at: Instant
    expires_at: Instant


class SessionsPage(Page[Session]):
    """A page of the sessions that have not ended, newest first."""


class SessionsQuery(RequestModel):
    """Whose sessions to end."""

    person: Line | None = Field(None, description="Only this person's; everybody's by default.")


class Ended(ResponseModel):
    """What was ended."""

    ended: int = Field(description="Number of sessions.")


@blueprint.get(PATH)
@blueprint.input(PageQuery, location="query", arg_name="page")
@blueprint.output(SessionsPage)
def list_sessions(page: PageQuery) -> dict[str, Any]:
    """List the sessions of the admin UI that have not ended, newest first."""
    statement = query("tenants.list_sessions")
    with transaction() as conn:
        return _BY_TIME.read_page(conn, page, statement, tenant_id=tenant_id(), session_id=None)


@blueprint.delete(PATH)
@blueprint.input(SessionsQuery, location="query", arg_name="given")
@blueprint.output(Ended)
def end_sessions(given: SessionsQuery) -> dict[str, Any]:
    """Sign everybody out everywhere, or one person. Unused sign-in links stop working too."""
    with transaction() as conn:
        record(conn, "sessions.ended", given.person or "")
        return {"ended": sessions.end_sessions(conn, tenant_id(), person=given.person)}


@blueprint.delete(f"{PATH}/<uuid:session_id>")
@blueprint.output(Ended)
def end_session(session_id: UUID) -> dict[str, Any]:
    """End one session."""
    with transaction() as conn:
        ended = sessions.end_sessions(conn, tenant_id(), session_id=session_id)
        if not ended:
            raise NotFoundError("There is no session with this id, or it has ended.")
        record(conn, "sessions.ended", session_id)
        return {"ended": ended}


@blueprint.post("/api/admin/sign-in-links")
@blueprint.input(NewLink, arg_name="given")
@blueprint.output(SignInLink, status_code=201)
def create_sign_in_link(given: NewLink) -> dict[str, Any]:
    """Create a link that signs a person in to the admin UI, once."""
    with transaction() as conn:
        code = create_sign_in_code(
            conn,
            tenant_id(),
            timedelta(hours=given.hours),
            person=given.person,
            scope=given.scope,
        )
        values = given.model_dump(include={"scope", "hours"})
        record(conn, "sign_in_link.created", given.person, after=values)
    address = public_address(state().settings) or request.host_url.rstrip("/")
    return {**given.model_dump(), "link": sign_in_url(address, code)}
