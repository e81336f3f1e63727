"""A tenant's connection to its Klaviyo account: verified by a live call, then stored sealed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from uuid import UUID

from service.core.config import Settings
from service.core.credentials import (
    MissingScopeError,
    check_secret,
    find_connection,
    missing_scopes_message,
    record_refused,
    store_connection,
    unseal_connection,
)
from service.core.db import Connection, Pool, tenant_transaction
from service.core.errors import InvalidInputError
from service.core.http import ATTEMPTS
from service.core.queries import query
from service.destinations.configs import resume_all_for_key
from service.klaviyo.account import NEEDED_SCOPES, KlaviyoAccount, read_account
from service.klaviyo.client import (
    KlaviyoClient,
    KlaviyoRefusedError,
    KlaviyoScopeError,
    open_klaviyo,
)
from service.klaviyo.rate_limits import SharedWindows, hash_account

_SHOWN_CHARACTERS = 4


class AnotherAccountError(InvalidInputError):
    """The key belongs to another Klaviyo account than the lists that are kept in step."""

    advice = "Give a key of that account, or delete the configurations of its lists first."


def connect_klaviyo(
    settings: Settings, pool: Pool, tenant_id: UUID, api_key: str, *, attempts: int = ATTEMPTS
) -> KlaviyoAccount:
    """Connect a tenant to its Klaviyo account by a private API key, or replace the key.

    Args:
        settings: The service's settings.
        pool: The service's pool.
        tenant_id: Whom to connect.
        api_key: A private key.
        attempts: How often Klaviyo is asked at most.

    Raises:
        InvalidInputError: The key cannot be one.
        MissingScopeError: It lacks scopes; the message says what each is for.
        AnotherAccountError: Lists of another account are kept in step.
        KlaviyoRefusedError: The key is not accepted.
        KlaviyoError: Klaviyo cannot be reached.
    """
    secret = check_secret(api_key, "API key", field="api_key")
    with open_klaviyo(settings, secret, attempts=attempts) as client:
        account = _read_account(client)
    with tenant_transaction(pool, tenant_id) as conn:
        _leave_former_account(conn, tenant_id, account)
        store_connection(
            settings,
            conn,
            tenant_id,
            "klaviyo",
            account_name=account.name,
            account_id=account.account_id,
            secret=secret,
            last_four=secret[-_SHOWN_CHARACTERS:],
            scopes=sorted(account.scopes),
        )
        resume_all_for_key(conn, tenant_id)
    return account


@contextmanager
def open_connected_klaviyo(
    settings: Settings,
    pool: Pool,
    tenant_id: UUID,
    *,
    attempts: int = ATTEMPTS,
    patience_seconds: float | None = None,
) -> Iterator[KlaviyoClient]:
    """The client of a connected tenant: shares its account's limits, notes a refusal of the key.

    Args:
        settings: The service's settings.
        pool: The service's pool.
        tenant_id: Whose account.
        attempts: How often a call that fails is made at most.
        patience_seconds: How long to wait at most while the limits are used up; None: for ever.

    Raises:
        NotConnectedError: The tenant has no API key.
        SealBrokenError: The stored key cannot be opened with the keys at hand.
        KlaviyoRefusedError: The key is not accepted; the connection now says so.
    """
    with tenant_transaction(pool, tenant_id, read_only=True) as conn:
        row = find_connection(conn, tenant_id, "klaviyo")
    api_key = unseal_connection(settings, tenant_id, "klaviyo", row)
    # A connection from before accounts were kept has limits of its own until it is verified.
    account = hash_account(settings, row["account_id"] or f"of tenant {tenant_id}")
    windows = SharedWindows(pool, tenant_id, account, patience_seconds=patience_seconds)
    try:
        with open_klaviyo(settings, api_key, windows=windows, attempts=attempts) as client:
            yield client
    except KlaviyoRefusedError as error:
        with tenant_transaction(pool, tenant_id) as conn:
            record_refused(conn, tenant_id, "klaviyo", error.message)
        raise


def verify_klaviyo(pool: Pool, tenant_id: UUID, client: KlaviyoClient) -> KlaviyoAccount:
    """Ask Klaviyo again whose key it is and what it may do, and remember the answer.

    Raises:
        KlaviyoRefusedError: The key is not accepted, or lacks scopes.
        KlaviyoError: Klaviyo cannot be reached.
    """
    account = read_account(client)
    if account.missing_scopes:
        raise KlaviyoRefusedError(missing_scopes_message("API key", account.missing_scopes))
    with tenant_transaction(pool, tenant_id) as conn:
        conn.execute(
            query("klaviyo.record_verified"),
            {
                "tenant_id": tenant_id,
                "account_id": account.account_id,
                "account_name": account.name,
                "scopes": sorted(account.scopes),
            },
        )
        resume_all_for_key(conn, tenant_id)
    return account


def _leave_former_account(conn: Connection, tenant_id: UUID, account: KlaviyoAccount) -> None:
    """Forget what is known of another account's profiles, unless its lists are still in use."""
    parameters = {"tenant_id": tenant_id, "account_id": account.account_id}
    row = conn.execute(query("klaviyo.find_former_account"), parameters).fetchone()
    if row is None:
        return
    if row["is_in_use"]:
        raise AnotherAccountError(
            f"This key belongs to {account.name}, and lists of {row['account_name']} are kept in"
            " step.",
            field="api_key",
        )
    conn.execute(query("destinations.delete_profiles"), parameters)
    conn.execute(query("destinations.delete_lists"), parameters)


def _read_account(client: KlaviyoClient) -> KlaviyoAccount:
    """As :func:`read_account`, of a key that somebody has just given."""
    try:
        account = read_account(client)
    except KlaviyoScopeError:
        raise _lacks_scopes({"accounts:read": NEEDED_SCOPES["accounts:read"]}) from None
    if account.missing_scopes:
        raise _lacks_scopes(account.missing_scopes)
    return account


def _lacks_scopes(scopes: Mapping[str, str]) -> MissingScopeError:
    return MissingScopeError(
        missing_scopes_message("API key", scopes),
        advice="A key's scopes cannot be changed: make another private key in Klaviyo, with these.",
        field="api_key",
    )
