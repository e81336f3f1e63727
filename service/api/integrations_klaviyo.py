"""``/api/admin/integrations/klaviyo``: the connection to the account, but never its key."""

from __future__ import annotations

from typing import Annotated, Literal
from uuid import UUID

from apiflask import APIBlueprint
from pydantic import Field, SecretStr

from service.api.access import state, tenant_id, transaction
from service.api.integrations import Scope
from service.api.schemas import Instant, RequestModel, ResponseModel
from service.core.credentials import disconnect
from service.core.db import Connection
from service.core.queries import query
from service.klaviyo.account import NEEDED_SCOPES, OPTIONAL_SCOPES
from service.klaviyo.connection import connect_klaviyo, open_connected_klaviyo, verify_klaviyo

blueprint = APIBlueprint("integrations_klaviyo", __name__, tag="Integrations")

PATH = "/api/admin/integrations/klaviyo"
# Somebody is waiting for the answer: an account that fails twice, or whose limits are used up for
# longer than this, is told at once.
_ATTEMPTS = 2
_PATIENCE_SECONDS = 10.0


class KlaviyoCredential(RequestModel):
    """A private API key."""

    api_key: Annotated[SecretStr, Field(min_length=8, max_length=512)]


class KlaviyoConnection(ResponseModel):
    """The connection to the account as it was last verified."""

    state: Literal["active", "refused", "disconnected"] | None = Field(
        description="Null while there has been no connection."
    )
    state_reason: str | None = Field(description="Why it is refused or disconnected.")
    account_id: str | None
    account_name: str | None
    key_last_four: str | None
    scopes: list[Scope] = Field(description="Needed and optional ones; empty while unconnected.")
    connected_at: Instant | None
    verified_at: Instant | None


def read_klaviyo_connection(conn: Connection, tenant: UUID) -> KlaviyoConnection:
    """The connection as it was last verified."""
    row = conn.execute(query("api.find_klaviyo_integration"), {"tenant_id": tenant}).fetchone()
    told = row or dict.fromkeys(KlaviyoConnection.model_fields)
    # Of a connection from before scopes were tried nobody knows them until it is verified.
    granted = set(told["scopes"] or ())
    return KlaviyoConnection.model_validate(
        {
            **told,
            "scopes": [
                Scope(
                    scope=scope,
                    purpose=purpose,
                    is_needed=scope in NEEDED_SCOPES,
                    is_granted=scope in granted,
                )
                for scope, purpose in {**NEEDED_SCOPES, **OPTIONAL_SCOPES}.items()
                if granted
            ],
        }
    )


@blueprint.get(PATH)
@blueprint.output(KlaviyoConnection)
def show_klaviyo_connection() -> KlaviyoConnection:
    """The connection to Klaviyo; the key's last four characters are all of it that is shown."""
    with transaction() as conn:
        return read_klaviyo_connection(conn, tenant_id())


@blueprint.post(PATH)
@blueprint.input(KlaviyoCredential, arg_name="given")
@blueprint.output(KlaviyoConnection)
def connect_klaviyo_account(given: KlaviyoCredential) -> KlaviyoConnection:
    """Connect the account, or replace its key: verified by live calls, then stored encrypted.

    What was paused because the former key was refused goes on.
    """
    api_key = given.api_key.get_secret_value()
    connect_klaviyo(state().settings, state().pool, tenant_id(), api_key, attempts=_ATTEMPTS)
    return show_klaviyo_connection_now()


@blueprint.post(f"{PATH}/verify")
@blueprint.output(KlaviyoConnection)
def verify_klaviyo_connection() -> KlaviyoConnection:
    """Ask Klaviyo again whose the stored key is and what it may do."""
    settings, pool = state().settings, state().pool
    with open_connected_klaviyo(
        settings, pool, tenant_id(), attempts=_ATTEMPTS, patience_seconds=_PATIENCE_SECONDS
    ) as client:
        verify_klaviyo(pool, tenant_id(), client)
    return show_klaviyo_connection_now()


@blueprint.delete(PATH)
@blueprint.output(KlaviyoConnection)
def disconnect_klaviyo_account() -> KlaviyoConnection:
    """Forget the key: lists stay as they are, and none is synced any more."""
    with transaction() as conn:
        disconnect(conn, tenant_id(), "klaviyo", "It was disconnected in Quintile.")
        return read_klaviyo_connection(conn, tenant_id())


def show_klaviyo_connection_now() -> KlaviyoConnection:
    """As :func:`show_klaviyo_connection`, after another transaction has changed it."""
    with transaction() as conn:
        return read_klaviyo_connection(conn, tenant_id())
