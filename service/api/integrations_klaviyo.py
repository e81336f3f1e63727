"""``/api/admin/integrations/klaviyo``: the connection to the Klaviyo account."""

from __future__ import annotations

from typing import Any, Literal
from uuid import UUID

from apiflask import APIBlueprint
from pydantic import Field

from service.api.access import state, tenant_id, transaction
from service.api.audit_log import record
from service.api.integrations import Scope, Secret
from service.api.problem_docs import can_answer
from service.api.schemas import Instant, RequestModel, ResponseModel
from service.core.credentials import disconnect
from service.core.db import Connection
from service.core.queries import query
from service.klaviyo.account import NEEDED_SCOPES, OPTIONAL_SCOPES
from service.klaviyo.connection import connect_klaviyo, open_connected_klaviyo, verify_klaviyo

blueprint = APIBlueprint("integrations_klaviyo", __name__, tag="Integrations")

PATH = "/api/admin/integrations/klaviyo"
# A person waits for the response, so there is only one retry and a short wait for rate limits.
_ATTEMPTS = 2
_PATIENCE_SECONDS = 10.0


class KlaviyoCredential(RequestModel):
    """A private API key."""

    api_key: Secret


class KlaviyoConnection(ResponseModel):
    """The connection to the account, as last verified."""

    state: Literal["active", "refused", "disconnected"] | None = Field(
        description="Null if it was never connected."
    )
    state_reason: str | None = Field(description="Why it is refused or disconnected.")
    next_probe_at: Instant | None = Field(
        description="While it is refused: when Quintile tries it again."
    )
    account_id: str | None
    account_name: str | None
    key_last_four: str | None
    scopes: list[Scope] = Field(description="Empty while disconnected.")
    connected_at: Instant | None
    verified_at: Instant | None


def read_klaviyo_connection(conn: Connection, tenant: UUID) -> KlaviyoConnection:
    """The connection, as last verified."""
    row = conn.execute(query("api.find_klaviyo_integration"), {"tenant_id": tenant}).fetchone()
    found = row or dict.fromkeys(KlaviyoConnection.model_fields)
    # Connections from older releases have no scopes until they are verified.
    granted = set(found["scopes"] or ())
    return KlaviyoConnection.model_validate(
        {
            **found,
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
    """Get the connection to Klaviyo, with the last four characters of the key."""
    with transaction() as conn:
        return read_klaviyo_connection(conn, tenant_id())


@blueprint.post(PATH)
@blueprint.input(KlaviyoCredential, arg_name="given")
@blueprint.output(KlaviyoConnection)
@can_answer("provider-refused", "provider-unavailable")
def connect_klaviyo_account(given: KlaviyoCredential) -> KlaviyoConnection:
    """Connect the account or replace its key.

    The key is verified with requests to Klaviyo and stored encrypted. Lists that were paused
    because the old key was refused are resumed.
    """
    api_key = given.api_key.get_secret_value()
    with transaction() as conn:
        before = _audited(read_klaviyo_connection(conn, tenant_id()))
    connect_klaviyo(state().settings, state().pool, tenant_id(), api_key, attempts=_ATTEMPTS)
    with transaction() as conn:
        connection = read_klaviyo_connection(conn, tenant_id())
        record(conn, "klaviyo.connected", before=before, after=_audited(connection))
        return connection


@blueprint.post(f"{PATH}/verify")
@blueprint.output(KlaviyoConnection)
@can_answer("not-connected", "provider-refused", "provider-unavailable")
def verify_klaviyo_connection() -> KlaviyoConnection:
    """Verify the stored key with requests to Klaviyo."""
    settings, pool = state().settings, state().pool
    with open_connected_klaviyo(
        settings, pool, tenant_id(), attempts=_ATTEMPTS, patience_seconds=_PATIENCE_SECONDS
    ) as client:
        verify_klaviyo(pool, tenant_id(), client)
    with transaction() as conn:
        record(conn, "klaviyo.verified")
        return read_klaviyo_connection(conn, tenant_id())


@blueprint.delete(PATH)
@blueprint.output(KlaviyoConnection)
def disconnect_klaviyo_account() -> KlaviyoConnection:
    """Delete the key and stop syncing. Lists in Klaviyo stay as they are."""
    with transaction() as conn:
        before = _audited(read_klaviyo_connection(conn, tenant_id()))
        disconnect(conn, tenant_id(), "klaviyo", "It was disconnected in Quintile.")
        connection = read_klaviyo_connection(conn, tenant_id())
        record(conn, "klaviyo.disconnected", before=before, after=_audited(connection))
        return connection


def _audited(connection: KlaviyoConnection) -> dict[str, Any]:
    return {
        "account": connection.account_name,
        "is_connected": connection.state not in (None, "disconnected"),
        "key_last_four": connection.key_last_four,
    }
