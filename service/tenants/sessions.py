"""Sessions of the admin UI.

The cookie holds the tenant's id and a secret of 256 random bits, of which the database has the
digest. So signing out, or signing a person out everywhere, ends a session whoever has its cookie.
"""

from __future__ import annotations

import secrets
from datetime import timedelta
from typing import Any
from uuid import UUID

from service.core.db import Connection, Pool, tenant_transaction
from service.core.queries import query
from service.tenants.tokens import Access, digest_of, name_person, name_token


def begin_session(pool: Pool, access: Access, lifetime: timedelta) -> str:
    """Begin a session with a credential that was just checked; the secret for its cookie.

    A session of a token ends with the token, too.
    """
    secret = secrets.token_urlsafe(32)
    with tenant_transaction(pool, access.tenant_id) as conn:
        conn.execute(
            query("tenants.insert_session"),
            {
                "tenant_id": access.tenant_id,
                "session_hash": digest_of(secret),
                "token_id": access.token_id,
                "person": access.person,
                "scope": access.scope,
                "lifetime": lifetime,
            },
        )
    return secret


def find_session(pool: Pool, tenant_id: UUID, secret: str) -> Access | None:
    """What a session gives; None if it has ended."""
    parameters = {"tenant_id": tenant_id, "session_hash": digest_of(secret)}
    with tenant_transaction(pool, tenant_id, read_only=True) as conn:
        row = conn.execute(query("tenants.find_session"), parameters).fetchone()
    if row is None:
        return None
    label = row["label"]
    actor = name_token(label, row["last_four"]) if label else name_person(row["person"])
    return Access(tenant_id, row["scope"], actor, person=row["person"])


def list_sessions(
    conn: Connection, tenant_id: UUID, session_id: UUID | None = None
) -> list[dict[str, Any]]:
    """Sessions that have not ended, newest first, or only the one with this id."""
    parameters = {"tenant_id": tenant_id, "session_id": session_id}
    return conn.execute(query("tenants.list_sessions"), parameters).fetchall()


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
    return conn.execute(query("tenants.delete_sessions"), parameters).rowcount


def end_session(pool: Pool, tenant_id: UUID, secret: str) -> None:
    """End the session of a cookie, as a person does by signing out."""
    parameters = {"tenant_id": tenant_id, "session_hash": digest_of(secret)}
    with tenant_transaction(pool, tenant_id) as conn:
        conn.execute(query("tenants.delete_session"), parameters)
