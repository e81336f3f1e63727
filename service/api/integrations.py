"""``/api/admin/integrations/shopify``: the connection to the Shopify store."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any, Literal
from uuid import UUID

from apiflask import APIBlueprint
from pydantic import Field, SecretStr

from service.api.access import require_connection, state, tenant_id, transaction
from service.api.audit_log import record
from service.api.input_errors import explained
from service.api.problem_docs import can_answer
from service.api.runs import answer_accepted
from service.api.schemas import Instant, OrderLimit, RequestModel, ResponseModel, Run
from service.core.credentials import disconnect
from service.core.db import Connection, one
from service.core.queries import query
from service.queue.enqueue import enqueue
from service.shopify.connection import (
    connect_shopify,
    open_connected_shopify,
    shop_domain,
    verify_shopify,
)
from service.shopify.order_history import read_order_limit
from service.shopify.problems import read_problems
from service.shopify.report import VERSION_ADVICE, describe_version, scope_purposes
from service.shopify.scopes import is_granted
from service.shopify.tokens import TokenSet

blueprint = APIBlueprint("integrations", __name__, tag="Integrations")

PATH = "/api/admin/integrations/shopify"
# A person waits for the response, so there is only one retry.
_ATTEMPTS = 2
_LONGEST_LIFETIME = 10 * 365 * 24 * 3600

Secret = Annotated[
    SecretStr,
    Field(min_length=8, max_length=512),
    explained("This must be 8 to 512 characters without spaces."),
]
Seconds = Annotated[int, Field(ge=1, le=_LONGEST_LIFETIME)]


class ShopifyCredential(RequestModel):
    """An Admin API access token; an expiring token also has a refresh token."""

    shop: str | None = Field(
        None, max_length=255, description="The store's myshopify.com domain, checked if given."
    )
    access_token: Secret
    refresh_token: Secret | None = None
    expires_in: Seconds | None = Field(None, description="Lifetime of the access token in seconds.")
    refresh_token_expires_in: Seconds | None = Field(
        None, description="Lifetime of the refresh token in seconds."
    )


class Scope(ResponseModel):
    """A scope that Quintile uses."""

    scope: str
    purpose: str
    is_needed: bool = Field(description="Whether the scope is required.")
    is_granted: bool


class ShopifyProblem(ResponseModel):
    """Something that the store does not give Quintile."""

    in_words: str
    advice: str


class ShopifyConnection(ResponseModel):
    """The connection to the store, as last verified."""

    shop_domain: str | None = Field(description="Null until the store's domain is set.")
    state: Literal["active", "refused", "disconnected"] | None = Field(
        description="Null if it was never connected."
    )
    state_reason: str | None = Field(description="Why it is refused or disconnected.")
    next_probe_at: Instant | None = Field(
        description="While it is refused: when Quintile tries it again."
    )
    shop_name: str | None
    currency: str | None = Field(description="ISO 4217.")
    time_zone: str
    plan: str | None
    token_last_four: str | None
    is_token_expiring: bool
    refresh_expires_at: Instant | None = Field(
        description="When the refresh token expires, unless a sync renews it."
    )
    scopes: list[Scope] = Field(description="Empty while disconnected.")
    other_scopes: list[str] = Field(description="Granted scopes that Quintile does not use.")
    api_version: str | None = Field(description="The Shopify API version that responded.")
    api_version_problem: str | None = Field(description="The problem with this version, if any.")
    order_limit: OrderLimit | None
    problems: list[ShopifyProblem] = Field(
        description="Fields that Shopify withholds, and records that could not be read."
    )
    connected_at: Instant | None
    verified_at: Instant | None


def read_shopify_connection(conn: Connection, tenant: UUID) -> ShopifyConnection:
    """The connection, as last verified."""
    row = one(conn.execute(query("api.find_shopify_integration"), {"tenant_id": tenant}).fetchone())
    granted: list[str] = row["scopes"] or []
    known = scope_purposes()
    problem = describe_version(row["api_version_asked"], row["api_version"])
    has_token = row["state"] in ("active", "refused")
    return ShopifyConnection.model_validate(
        {
            **row,
            "scopes": [
                Scope(
                    scope=scope,
                    purpose=purpose,
                    is_needed=is_needed,
                    is_granted=is_granted(scope, granted),
                )
                for scope, (purpose, is_needed) in known.items()
                if has_token
            ],
            "other_scopes": sorted(set(granted) - set(known)),
            "api_version_problem": problem and f"{problem} {VERSION_ADVICE}",
            "order_limit": read_order_limit(conn, tenant),
            "problems": [asdict(problem) for problem in read_problems(conn, tenant)],
        }
    )


@blueprint.get(PATH)
@blueprint.output(ShopifyConnection)
def show_shopify_connection() -> ShopifyConnection:
    """Get the connection to the store, with the last four characters of the token."""
    with transaction() as conn:
        return read_shopify_connection(conn, tenant_id())


@blueprint.post(PATH)
@blueprint.input(ShopifyCredential, arg_name="given")
@blueprint.output(ShopifyConnection)
@can_answer("not-connected", "provider-refused", "provider-unavailable")
def connect_shopify_store(given: ShopifyCredential) -> ShopifyConnection:
    """Connect the store or replace its token, and queue a first sync.

    The token is verified with a request to Shopify and stored encrypted.
    """
    with transaction() as conn:
        shop = shop_domain(conn, tenant_id())
        before = _audited(read_shopify_connection(conn, tenant_id()))
    connect_shopify(
        state().settings,
        state().pool,
        tenant_id(),
        given.shop or shop,
        _tokens(given),
        attempts=_ATTEMPTS,
    )
    with transaction() as conn:
        connection = read_shopify_connection(conn, tenant_id())
        subject = connection.shop_domain or ""
        record(conn, "shopify.connected", subject, before=before, after=_audited(connection))
        enqueue(conn, tenant_id(), "shopify_sync")
        enqueue(conn, tenant_id(), "segments_sync")
        return connection


@blueprint.post(f"{PATH}/verify")
@blueprint.output(ShopifyConnection)
@can_answer("not-connected", "provider-refused", "provider-unavailable")
def verify_shopify_connection() -> ShopifyConnection:
    """Verify the stored token with a request to Shopify."""
    settings, pool = state().settings, state().pool
    with open_connected_shopify(settings, pool, tenant_id(), attempts=_ATTEMPTS) as client:
        verify_shopify(settings, pool, tenant_id(), client)
    with transaction() as conn:
        record(conn, "shopify.verified")
        return read_shopify_connection(conn, tenant_id())


@blueprint.post(f"{PATH}/sync")
@blueprint.output(Run, status_code=202)
@can_answer("not-connected")
def sync_shopify_orders() -> Any:
    """Start a sync of your store's customers and orders, or return the unfinished one."""
    with transaction() as conn:
        record(conn, "shopify_sync.started")
        require_connection(conn, "shopify")
        return answer_accepted(enqueue(conn, tenant_id(), "shopify_sync"))


@blueprint.delete(PATH)
@blueprint.output(ShopifyConnection)
def disconnect_shopify_store() -> ShopifyConnection:
    """Delete the store's token and stop syncing. Synced data stays."""
    with transaction() as conn:
        before = read_shopify_connection(conn, tenant_id())
        disconnect(conn, tenant_id(), "shopify", "It was disconnected in Quintile.")
        after = read_shopify_connection(conn, tenant_id())
        subject = before.shop_domain or ""
        values = {"before": _audited(before), "after": _audited(after)}
        record(conn, "shopify.disconnected", subject, **values)
        return after


def _audited(connection: ShopifyConnection) -> dict[str, Any]:
    return {
        "shop": connection.shop_domain,
        "is_connected": connection.state not in (None, "disconnected"),
        "token_last_four": connection.token_last_four,
    }


def _tokens(given: ShopifyCredential) -> TokenSet:
    access_token = given.access_token.get_secret_value().strip()
    if given.refresh_token is None:
        return TokenSet(access_token)
    return TokenSet.expiring(
        access_token,
        given.refresh_token.get_secret_value().strip(),
        expires_in=given.expires_in,
        refresh_expires_in=given.refresh_token_expires_in,
    )
