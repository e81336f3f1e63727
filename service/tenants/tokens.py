"""API tokens and sign-in codes.

Both contain their tenant's id, ``<prefix>_<tenant id>_<secret>``, so a look-up is a read in that
tenant's own transaction and never searches across tenants. Only SHA-256 digests are stored; the
secrets have 256 random bits, so a slow hash is not needed.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal
from uuid import UUID

from service.core.db import Connection, Pool, tenant_transaction
from service.core.queries import query

Kind = Literal["qnt", "qsi"]
API: Kind = "qnt"
SIGN_IN: Kind = "qsi"

_PATTERN = re.compile(r"(qnt|qsi)_([0-9a-f]{32})_([A-Za-z0-9_-]{43})", re.ASCII)


@dataclass(frozen=True)
class Credential:
    """A token or code as presented: the tenant it claims, and the digest to look for."""

    kind: str
    tenant_id: UUID
    digest: bytes


def parse_credential(text: str) -> Credential | None:
    """Parse a token or code; None if it is malformed."""
    match = _PATTERN.fullmatch(text.strip())
    if match is None:
        return None
    return Credential(match[1], UUID(hex=match[2]), _digest(match[0]))


def create_token(conn: Connection, tenant_id: UUID, label: str) -> str:
    """Create an API token; it cannot be shown again. Needs the owner's connection."""
    token = _generate(API, tenant_id)
    conn.execute(
        query("tenants.insert_token"),
        {
            "tenant_id": tenant_id,
            "token_hash": _digest(token),
            "label": label,
            "last_four": token[-4:],
        },
    )
    return token


def create_sign_in_code(conn: Connection, tenant_id: UUID, lifetime: timedelta) -> str:
    """Create a single-use code for a sign-in link. Needs the owner's connection."""
    code = _generate(SIGN_IN, tenant_id)
    conn.execute(
        query("tenants.insert_sign_in_code"),
        {"tenant_id": tenant_id, "code_hash": _digest(code), "lifetime": lifetime},
    )
    return code


def find_token(pool: Pool, token: str) -> Credential | None:
    """The credential of a token that exists and is not revoked."""
    credential = parse_credential(token)
    if credential is None or credential.kind != API:
        return None
    return credential if is_token_valid(pool, credential.tenant_id, credential.digest) else None


def is_token_valid(pool: Pool, tenant_id: UUID, digest: bytes) -> bool:
    """Whether a token exists and is not revoked; records the day it was last used."""
    with tenant_transaction(pool, tenant_id) as conn:
        row = conn.execute(
            query("tenants.find_token"), {"tenant_id": tenant_id, "token_hash": digest}
        ).fetchone()
        if row is not None and not row["is_recorded_today"]:
            conn.execute(
                query("tenants.record_token_use"), {"tenant_id": tenant_id, "token_hash": digest}
            )
    return row is not None


def use_sign_in_code(pool: Pool, code: str) -> Credential | None:
    """Use up a sign-in code; None if it is unknown, used or expired."""
    credential = parse_credential(code)
    if credential is None or credential.kind != SIGN_IN:
        return None
    with tenant_transaction(pool, credential.tenant_id) as conn:
        row = conn.execute(
            query("tenants.use_sign_in_code"),
            {"tenant_id": credential.tenant_id, "code_hash": credential.digest},
        ).fetchone()
    return credential if row is not None else None


def _generate(kind: Kind, tenant_id: UUID) -> str:
    return f"{kind}_{tenant_id.hex}_{secrets.token_urlsafe(32)}"


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()
