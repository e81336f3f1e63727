"""A tenant's connection to its Klaviyo account: verified by a live call, then stored encrypted."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from service.core.config import Settings
from service.core.credentials import (
    MissingScopeError,
    check_secret,
    find_connection,
    missing_scopes_message,
    probe_note,
    record_refused,
    store_connection,
)
from service.core.db import Connection, Pool, tenant_transaction
from service.core.errors import InvalidInputError
from service.core.http import ATTEMPTS
from service.core.queries import query
from service.core.vault import unseal
from service.destinations.configs import delete_account_data, resume_all_for_key
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
    """The key belongs to another Klaviyo account than the synced lists."""

    advice = "Give a key of that account, or delete the configurations of its lists first."


def connect_klaviyo(
    settings: Settings, pool: Pool, tenant_id: UUID, api_key: str, *, attempts: int = ATTEMPTS
) -> KlaviyoAccount:
    """Connect a tenant to its Klaviyo account by a private API key, or replace the key.

    Raises:
        InvalidInputError: The key does not look like one.
        MissingScopeError: It lacks scopes; the message says what each is for.
        AnotherAccountError: Lists of another account are synced.
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
    """The client of a connected tenant, which shares the rate limits of its account.

    ``attempts`` is how often a failing call is made at most, ``patience_seconds`` the longest wait
    while the limits are used up; None for no limit.

    Raises:
        NotConnectedError: The tenant has no API key.
        SealBrokenError: The stored key cannot be decrypted with the known secret keys.
        KlaviyoRefusedError: The key is not accepted; the connection now says so.
    """
    with tenant_transaction(pool, tenant_id, read_only=True) as conn:
        row = find_connection(conn, tenant_id, "klaviyo")
    api_key = unseal(settings, tenant_id, "klaviyo", row)
    # A connection made before accounts were recorded has limits of its own until it is verified.
    account = hash_account(settings, row["account_id"] or f"of tenant {tenant_id}")
    windows = SharedWindows(pool, tenant_id, account, patience_seconds=patience_seconds)
    try:
        with open_klaviyo(settings, api_key, windows=windows, attempts=attempts) as client:
            yield client
    except KlaviyoRefusedError as error:
        with tenant_transaction(pool, tenant_id) as conn:
            next_probe_at = record_refused(conn, tenant_id, "klaviyo", error.message)
        error.advice = f"{probe_note(next_probe_at)} {error.advice}"
        raise


def verify_klaviyo(pool: Pool, tenant_id: UUID, client: KlaviyoClient) -> None:
    """Read the account and scopes of the key from Klaviyo again, and record them.

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


def probe_refused_klaviyo(settings: Settings, pool: Pool, tenant_id: UUID) -> None:
    """Try the key of a refused connection again; if it is accepted, its lists are resumed.

    Does nothing if the connection is not refused.

    Raises:
        NotConnectedError: The tenant has no API key.
        KlaviyoRefusedError: The key is still not accepted, or lacks scopes.
        KlaviyoError: Klaviyo cannot be reached.
    """
    with tenant_transaction(pool, tenant_id, read_only=True) as conn:
        row = find_connection(conn, tenant_id, "klaviyo")
    if row["state"] == "refused":
        with open_connected_klaviyo(settings, pool, tenant_id) as client:
            verify_klaviyo(pool, tenant_id, client)


def _leave_former_account(conn: Connection, tenant_id: UUID, account: KlaviyoAccount) -> None:
    """Delete what is stored of another account, unless its lists are still synced."""
    parameters = {"tenant_id": tenant_id, "account_id": account.account_id}
    row = conn.execute(query("klaviyo.find_former_account"), parameters).fetchone()
    if row is None:
        return
    if row["is_in_use"]:
        raise AnotherAccountError(
            f"This key belongs to {account.name}, but lists of {row['account_name']} are synced.",
            field="api_key",
        )
    delete_account_data(conn, tenant_id)


def _read_account(client: KlaviyoClient) -> KlaviyoAccount:
    """As :func:`read_account`, for a new key."""
    try:
        account = read_account(client)
        missing = account.missing_scopes
    except KlaviyoScopeError:
        missing = {"accounts:read": NEEDED_SCOPES["accounts:read"]}
    if missing:
        raise MissingScopeError(
            missing_scopes_message("API key", missing),
            advice="A key's scopes cannot be changed: make another private key in Klaviyo, with"
            " these.",
            field="api_key",
        )
    return account
