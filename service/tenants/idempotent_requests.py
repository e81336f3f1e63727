"""Requests with an ``Idempotency-Key``, which change something once however often they are sent.

A request claims its key before it does anything. While it works, repeats are told so. Each of its
transactions that writes records that in the claim, and its answer is stored at the end. So after a
crash it is known what happened:

- Nothing was changed: after :data:`LEASE` a repeat is carried out.
- Something was changed, and the answer was not stored: a repeat is told that it is lost, and never
  carried out.

A process that lost its claim, because it took longer than the lease, can no longer commit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import timedelta
from uuid import UUID, uuid4

from psycopg.types.json import Jsonb

from service.core.config import Settings
from service.core.db import Connection, Pool, tenant_transaction
from service.core.errors import QuintileError, SealBrokenError
from service.core.queries import query
from service.core.vault import seal, unseal

KEPT = timedelta(hours=24)
# How long a process may work on a request before a repeat may take it over. Most requests take
# milliseconds; the longest call Shopify or Klaviyo twice.
LEASE = timedelta(seconds=60)
_SEALED_AS = "answer"


class KeyInUseError(QuintileError):
    """The first request with this Idempotency-Key is still being worked on."""

    advice = "Repeat the request after a moment."


class KeyReusedError(QuintileError):
    """Another request was sent with this Idempotency-Key."""

    advice = "Use a new key for each new request, and the same key only to repeat one unchanged."


class AnswerLostError(QuintileError):
    """The first request with this Idempotency-Key changed something, but its answer was lost."""

    advice = "Read what it changed. To change something again, send a new key."


@dataclass(frozen=True)
class Claim:
    """A request that holds its key."""

    tenant_id: UUID
    credential: str
    request_key: str
    claim_id: UUID


@dataclass(frozen=True)
class Answer:
    """What a request was answered."""

    status: int
    headers: Mapping[str, str]
    body: str


def claim_request(
    settings: Settings,
    pool: Pool,
    tenant_id: UUID,
    *,
    credential: str,
    request_key: str,
    fingerprint: bytes,
) -> Claim | Answer:
    """Claim a key for a request, or find the answer to the same request.

    Args:
        settings: The key ring, which opens stored answers.
        pool: The service's pool.
        tenant_id: The tenant.
        credential: Whose key it is.
        request_key: The key, 1 to 255 characters.
        fingerprint: 32 bytes that tell the request from others.

    Raises:
        KeyInUseError: A process is working on the request.
        KeyReusedError: The key belongs to another request.
        AnswerLostError: The request changed something, and its answer is not known.
    """
    claim = Claim(tenant_id, credential, request_key, uuid4())
    parameters = {**asdict(claim), "fingerprint": fingerprint, "kept": KEPT, "lease": LEASE}
    with tenant_transaction(pool, tenant_id) as conn:
        if conn.execute(query("tenants.claim_request"), parameters).fetchone():
            return claim
        found = conn.execute(query("tenants.find_request"), parameters).fetchone()
    if found is None:
        # It was given back in between.
        raise KeyInUseError
    if found["fingerprint"] != fingerprint:
        raise KeyReusedError
    if found["status"] is None:
        raise AnswerLostError if found["is_lost"] else KeyInUseError
    try:
        body = unseal(settings, tenant_id, _SEALED_AS, found)
    except SealBrokenError:
        raise AnswerLostError from None
    return Answer(found["status"], found["headers"], body)


def mark_request(conn: Connection, claim: Claim, *, is_outside: bool = False) -> None:
    """Record at the end of a transaction that it changes something, if it has written.

    Args:
        conn: The transaction.
        claim: The request that it belongs to.
        is_outside: Record it in any case: what changes is not in the database.

    Raises:
        KeyInUseError: Another process has taken the request over.
    """
    parameters = {**asdict(claim), "is_outside": is_outside}
    if conn.execute(query("tenants.mark_request"), parameters).fetchone() is None:
        raise KeyInUseError


def store_answer(settings: Settings, pool: Pool, claim: Claim, answer: Answer) -> None:
    """Store the answer to a request, encrypted, for its repeats."""
    sealed = seal(settings, claim.tenant_id, _SEALED_AS, answer.body)
    stored = {"status": answer.status, "headers": Jsonb(dict(answer.headers)), **sealed}
    with tenant_transaction(pool, claim.tenant_id) as conn:
        conn.execute(query("tenants.store_answer"), {**asdict(claim), **stored})


def release_request(pool: Pool, claim: Claim) -> None:
    """Give the key of a request that failed back. One that changed something is lost."""
    parameters = {**asdict(claim), "lease": LEASE}
    with tenant_transaction(pool, claim.tenant_id) as conn:
        if not conn.execute(query("tenants.release_request"), parameters).rowcount:
            conn.execute(query("tenants.end_lease"), parameters)
