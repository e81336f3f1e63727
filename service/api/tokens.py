"""``/api/admin/tokens``: the store's API tokens."""

from __future__ import annotations

from datetime import date
from typing import Any, Literal
from uuid import UUID

from apiflask import APIBlueprint
from pydantic import AwareDatetime, Field

from service.api.access import actor, tenant_id, transaction
from service.api.audit_log import record
from service.api.paging import Keyset, PageQuery
from service.api.problems import NotFoundError
from service.api.schemas import Instant, Line, Page, RequestModel, ResponseModel
from service.core.db import Connection
from service.core.queries import query
from service.tenants import tokens
from service.tenants.tokens import Scope

blueprint = APIBlueprint("tokens", __name__, tag="Access")

PATH = "/api/admin/tokens"
_BY_TIME = Keyset("tokens", created_at=AwareDatetime, token_id=UUID)


class NewToken(RequestModel):
    """A token to create."""

    label: Line = Field(description="A name that tells the token from others.")
    scope: Scope = Field(
        "read",
        description="`read`; `write`, which includes `read`; `admin`, which includes both, and"
        " tokens, people, connections and privacy exports.",
    )
    expires_in_days: int | None = Field(
        None, ge=1, le=3650, description="Days until it stops working; null for never."
    )


class Token(ResponseModel):
    """An API token, without its secret."""

    token_id: UUID
    label: str
    last_four: str = Field(description="The token's last four characters.")
    scope: Scope
    state: Literal["active", "expired", "revoked"]
    created_at: Instant
    created_by: str | None = Field(description="Null if an operator created it.")
    last_used_on: date | None = Field(description="Day of the last use, by the database's clock.")
    expires_at: Instant | None = Field(description="Null if it does not expire.")
    revoked_at: Instant | None


class TokensPage(Page[Token]):
    """A page of the API tokens, newest first."""


class TokenWithSecret(Token):
    """A new API token. It is shown only once."""

    token: str = Field(description="Send it as `Authorization: Bearer <token>`.")


def read_token(conn: Connection, token_id: UUID) -> dict[str, Any]:
    """A token of the request's tenant.

    Raises:
        NotFoundError: There is no such token.
    """
    for row in tokens.list_tokens(conn, tenant_id(), token_id):
        return row
    raise NotFoundError("There is no token with this id.")


@blueprint.get(PATH)
@blueprint.input(PageQuery, location="query", arg_name="page")
@blueprint.output(TokensPage)
def list_tokens(page: PageQuery) -> dict[str, Any]:
    """List the API tokens, newest first, with those that no longer work."""
    statement = query("tenants.list_tokens")
    with transaction() as conn:
        return _BY_TIME.read_page(conn, page, statement, tenant_id=tenant_id(), token_id=None)


@blueprint.post(PATH)
@blueprint.input(NewToken, arg_name="given")
@blueprint.output(TokenWithSecret, status_code=201)
def create_token(given: NewToken) -> dict[str, Any]:
    """Create an API token. Only its digest is stored, so it cannot be shown again."""
    with transaction() as conn:
        created = tokens.create_token(
            conn,
            tenant_id(),
            given.label,
            scope=given.scope,
            days=given.expires_in_days,
            created_by=actor(),
        )
        token = read_token(conn, created.token_id)
        record(conn, "token.created", created.token_id, after=given)
        return {**token, "token": created.token}


@blueprint.get(f"{PATH}/<uuid:token_id>")
@blueprint.output(Token)
def show_token(token_id: UUID) -> dict[str, Any]:
    """Get one API token, without its secret."""
    with transaction() as conn:
        return read_token(conn, token_id)


@blueprint.delete(f"{PATH}/<uuid:token_id>")
@blueprint.output(Token)
def revoke_token(token_id: UUID) -> dict[str, Any]:
    """Revoke an API token: it and the sessions that it began stop working at once."""
    with transaction() as conn:
        former = read_token(conn, token_id)
        tokens.revoke_token(conn, tenant_id(), token_id)
        revoked = {name: former[name] for name in ("label", "scope")}
        record(conn, "token.revoked", token_id, before=revoked)
        return read_token(conn, token_id)
