"""Sessions of the admin UI.

The cookie holds the tenant's id and a secret of 256 random bits, of which the database has the
digest. So signing out, or signing a person out everywhere, ends a session whoever has its cookie.
"""

from __future__ import annotations

import secrets
from datetime import timedelta
from typing import Any
from uuid import UUID

from service.core.db import Connection, Pool, find_as_tenant, tenant_transaction
from service.core.queries import query
from service.tenants.tokens import (
    SIGN_IN,
    Access,
    digest_of,
    name_person,
    name_token,
    parse_credential,
)


def begin_session(pool: Pool, access: Access, lifetime: timedelta) -> str:
    """Begin a session with a token that was just checked; the secret for its cookie.

    The session ends with the token, too.
    """
    with tenant_transaction(pool, access.tenant_id) as conn:
        return _insert(conn, access, lifetime)


def begin_session_with_code(
    pool: Pool, code: str, lifetime: timedelta
) -> tuple[Access, str] | None:
    """Use up a sign-in code and begin its session, in one transaction.

    Returns:
        What the code gives and the secret for the cookie; None if it is unknown, used or expired.
    """
    credential = parse_credential(code)
    if credential is None or credential.kind != SIGN_IN:
        return None
    with tenant_transaction(pool, credential.tenant_id) as conn:
        row = conn.execute(
            query("tenants.use_sign_in_code"),
            {"tenant_id": credential.tenant_id, "code_hash": credential.digest},
        ).fetchone()
        if row is None:
            return None
        actor = name_person(row["person"])
        access = Access(credential.tenant_id, row["scope"], "person", actor, person=row["person"])
        return access, _insert(conn, access, lifetime)


def find_session(pool: Pool, tenant_id: UUID, secret: str) -> Access | None:
    """What a session gives; None if it has ended."""
    parameters = {"tenant_id": tenant_id, "session_hash": digest_of(secret)}
    row = find_as_tenant(pool, tenant_id, query("tenants.find_session"), parameters)
    if row is None:
        return None
    session_id = row["session_id"]
    if row["token_id"] is not None:
        actor = name_token(row["label"], row["last_four"])
        return Access(tenant_id, row["scope"], "token", actor, session_id)
    actor = name_person(row["person"])
    return Access(tenant_id, row["scope"], "person", actor, session_id, row["person"])


def list_sessions(
    conn: Connection, tenant_id: UUID, session_id: UUID | None = None
) -> list[dict[str, Any]]:
    """Sessions that have not ended, newest first, or only the one with this id."""
    parameters = {"tenant_id": tenant_id, "session_id": session_id}
    all_rows = dict.fromkeys(("after_begun_at", "after_session_id", "row_limit"))
    return conn.execute(query("tenants.list_sessions"), {**parameters, **all_rows}).fetchall()


def end_sessions(
    conn: Connection,
    tenant_id: UUID,
    *,
    session_id: UUID | None = None,
    person: str | None = None,
) -> int:
    """End one session, those of a person, or all; how many.

    Unused sign-in links of the person, or all of them, stop working too.
    """
    parameters = {"tenant_id": tenant_id, "session_id": session_id, "person": person}
    if session_id is None:
        # This waits for a link that is just being used; the next statement sees its session.
        conn.execute(query("tenants.delete_unused_codes"), parameters)
    return conn.execute(query("tenants.delete_sessions"), parameters).rowcount


def end_session(pool: Pool, tenant_id: UUID, secret: str) -> None:
    """End the session of a cookie, as a person does by signing out."""
    parameters = {"tenant_id": tenant_id, "session_hash": digest_of(secret)}
    with tenant_transaction(pool, tenant_id) as conn:
        conn.execute(query("tenants.delete_session"), parameters)


def _insert(conn: Connection, access: Access, lifetime: timedelta) -> str:
    secret = secrets.token_urlsafe(32)
    conn.execute(
        query("tenants.insert_session"),
        {
            "tenant_id": access.tenant_id,
            "session_hash": digest_of(secret),
            "token_id": access.credential_id if access.kind == "token" else None,
            "person": access.person,
            "scope": access.scope,
            "lifetime": lifetime,
        },
    )
    return secret
