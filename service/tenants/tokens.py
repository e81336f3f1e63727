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
from typing import Any, Literal
from uuid import UUID, uuid4

from service.core.db import Connection, Pool, find_as_tenant, tenant_transaction
from service.core.errors import InvalidInputError
from service.core.queries import query

Kind = Literal["qnt", "qsi"]
# What a credential allows. Each scope includes those before it.
Scope = Literal["read", "write", "admin"]
ActorKind = Literal["token", "person", "platform", "command"]
SCOPES: tuple[Scope, ...] = ("read", "write", "admin")
API: Kind = "qnt"
SIGN_IN: Kind = "qsi"
# How long a sign-in link works, unless another time is asked for.
SIGN_IN_LIFETIME = timedelta(hours=1)

_LONGEST_NAME = 255
# What the history calls actors without a name of their own.
_RESERVED = ("api token", "command line", "sign-in link")

_PATTERN = re.compile(r"(qnt|qsi)_([0-9a-f]{32})_([A-Za-z0-9_-]{43})", re.ASCII)


@dataclass(frozen=True)
class Credential:
    """A token or code as presented: the tenant it claims, and the digest to look for."""

    kind: str
    tenant_id: UUID
    digest: bytes


@dataclass(frozen=True)
class Access:
    """What a valid credential gives: a tenant, a scope, and whom the history names.

    ``kind`` tells apart actors of the same name. ``credential_id`` is the token's or session's id;
    a platform's token has none. ``person`` is that of a sign-in link, if it names one.
    """

    tenant_id: UUID
    scope: Scope
    kind: ActorKind
    actor: str
    credential_id: UUID | None = None
    person: str | None = None


@dataclass(frozen=True)
class NewToken:
    """A token that was just created; only its digest is stored."""

    token_id: UUID
    token: str


def parse_credential(text: str) -> Credential | None:
    """Parse a token or code; None if it is malformed."""
    match = _PATTERN.fullmatch(text.strip())
    if match is None:
        return None
    return Credential(match[1], UUID(hex=match[2]), digest_of(match[0]))


def create_token(
    conn: Connection,
    tenant_id: UUID,
    label: str,
    *,
    scope: Scope = "admin",
    days: int | None = None,
    created_by: str | None = None,
) -> NewToken:
    """Create an API token; it cannot be shown again.

    Args:
        conn: The owner's connection, or the tenant's transaction.
        tenant_id: The tenant.
        label: A name that tells it from others.
        scope: What it allows.
        days: After how many days it stops working; None for never.
        created_by: Who creates it; None for the command line.

    Raises:
        InvalidInputError: The label is not a name.
    """
    label = check_name(label)
    token, token_id = _generate(API, tenant_id), uuid4()
    conn.execute(
        query("tenants.insert_token"),
        {
            "tenant_id": tenant_id,
            "token_hash": digest_of(token),
            "token_id": token_id,
            "label": label,
            "last_four": token[-4:],
            "scope": scope,
            "days": days,
            "created_by": created_by,
        },
    )
    return NewToken(token_id, token)


def list_tokens(
    conn: Connection, tenant_id: UUID, token_id: UUID | None = None
) -> list[dict[str, Any]]:
    """The tenant's tokens, newest first, or only the one with this id."""
    parameters = {"tenant_id": tenant_id, "token_id": token_id}
    all_rows = dict.fromkeys(("after_created_at", "after_token_id", "row_limit"))
    return conn.execute(query("tenants.list_tokens"), {**parameters, **all_rows}).fetchall()


def revoke_token(conn: Connection, tenant_id: UUID, token_id: UUID) -> bool:
    """Revoke a token and end its sessions; whether it exists."""
    parameters = {"tenant_id": tenant_id, "token_id": token_id}
    conn.execute(query("tenants.delete_token_sessions"), parameters)
    return conn.execute(query("tenants.revoke_token"), parameters).fetchone() is not None


def create_sign_in_code(
    conn: Connection,
    tenant_id: UUID,
    lifetime: timedelta,
    *,
    person: str | None = None,
    scope: Scope = "admin",
) -> str:
    """Create a single-use code for a sign-in link.

    Args:
        conn: The owner's connection, or the tenant's transaction.
        tenant_id: The tenant.
        lifetime: How long it can be used.
        person: Whom it is for; the history of changes names them.
        scope: What the session allows.

    Raises:
        InvalidInputError: The person's name is not a name.
    """
    person = person if person is None else check_name(person)
    code = _generate(SIGN_IN, tenant_id)
    conn.execute(
        query("tenants.insert_sign_in_code"),
        {
            "tenant_id": tenant_id,
            "code_hash": digest_of(code),
            "lifetime": lifetime,
            "person": person,
            "scope": scope,
        },
    )
    return code


def sign_in_url(address: str, code: str) -> str:
    """The sign-in link at the service's address.

    The code is in the fragment, which browsers send neither to servers nor in a Referer.
    """
    return f"{address}/admin/sign-in#code={code}"


def find_token(pool: Pool, token: str) -> Access | None:
    """What a token gives; None if it is unknown, revoked or expired. Records the day of its use."""
    credential = parse_credential(token)
    if credential is None or credential.kind != API:
        return None
    parameters = {"tenant_id": credential.tenant_id, "token_hash": credential.digest}
    row = find_as_tenant(pool, credential.tenant_id, query("tenants.find_token"), parameters)
    if row is None:
        return None
    if not row["is_recorded_today"]:
        with tenant_transaction(pool, credential.tenant_id) as conn:
            conn.execute(query("tenants.record_token_use"), parameters)
    actor = name_token(row["label"], row["last_four"])
    return Access(credential.tenant_id, row["scope"], "token", actor, row["token_id"])


def check_name(text: str) -> str:
    """The name of a token or person, without surrounding space.

    Raises:
        InvalidInputError: It is empty, too long, has control characters, or is the name of another
            kind of actor.
    """
    name = text.strip()
    if not 0 < len(name) <= _LONGEST_NAME or not name.isprintable():
        raise InvalidInputError(f"A name has 1 to {_LONGEST_NAME} characters on one line.")
    if name.lower().startswith(_RESERVED):
        raise InvalidInputError(f"'{name}' is not a name of a person or token.")
    return name


def name_token(label: str, last_four: str) -> str:
    """How the history of changes names a token."""
    return f"API token {label} …{last_four}"


def name_person(person: str | None) -> str:
    """How the history of changes names a person with a sign-in link."""
    return person or "sign-in link"


def digest_of(text: str) -> bytes:
    """What is stored of a secret."""
    return hashlib.sha256(text.encode()).digest()


def _generate(kind: Kind, tenant_id: UUID) -> str:
    return f"{kind}_{tenant_id.hex}_{secrets.token_urlsafe(32)}"
