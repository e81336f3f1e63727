"""Meeting privacy requests: tell what is held of a person, erase a person, erase a tenant.

A request is a webhook's event, or one that an operator has made. Each step can be repeated and
notes how far it came, so that a job that was killed is simply done again.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import UUID, uuid4

import structlog
from psycopg.types.json import Jsonb

from service.builds.locks import tenant_lock
from service.core.config import Settings
from service.core.db import Connection, Pool, connect, one, tenant_transaction, transform_url
from service.core.errors import NotConnectedError, QuintileError
from service.core.queries import query
from service.core.vault import seal
from service.klaviyo.account import delete_profile
from service.klaviyo.client import (
    KlaviyoClient,
    KlaviyoRefusedError,
    KlaviyoUnavailableError,
)
from service.klaviyo.connection import open_connected_klaviyo
from service.privacy.tenant import erase_tenant
from service.queue.defer import defer_privacy
from service.queue.runs import STALE_AFTER_SECONDS

log = structlog.get_logger(__name__)

Kind = Literal["data_request", "customer_redact"]

TOPIC_OF: dict[Kind, str] = {
    "data_request": "customers/data_request",
    "customer_redact": "customers/redact",
}
# What exports are sealed for, in the place of a provider.
SEALED_AS = "privacy export"
# Shopify sends shop/redact two days after the app was removed.
_SHOP_REDACT_AFTER = timedelta(hours=48)
_PAUSE_SECONDS = 60
_LONGEST_PAUSE_SECONDS = 3600
_MOST_ATTEMPTS = 24


class BusyError(QuintileError):
    """Something that could bring an erased person back is running; it is tried again later."""


@dataclass(frozen=True)
class Request:
    """One request, and how far it has been met (``done``)."""

    tenant_id: UUID
    webhook_id: str
    kind: str
    customer_id: str
    emails: list[str]
    order_ids: list[str]
    requested_at: datetime
    attempts: int
    customer_ids: list[str] = field(default_factory=list)
    creator_ids: list[str] = field(default_factory=list)
    done: dict[str, Any] = field(default_factory=dict)

    def parameters(self, **more: Any) -> dict[str, Any]:
        """What the statements are about."""
        return {
            "tenant_id": self.tenant_id,
            "webhook_id": self.webhook_id,
            "customer_id": self.customer_id,
            "customer_ids": self.customer_ids or [self.customer_id],
            "creator_ids": self.creator_ids,
            "order_ids": self.order_ids,
            "emails": self.emails,
            **more,
        }


def add_request(
    conn: Connection, tenant_id: UUID, kind: Kind, customer_id: str, emails: list[str]
) -> str:
    """Write down a request that an operator makes, and return its id."""
    webhook_id = f"operator:{uuid4()}"
    conn.execute(
        query("privacy.add_request"),
        {
            "tenant_id": tenant_id,
            "webhook_id": webhook_id,
            "topic": TOPIC_OF[kind],
            "kind": kind,
            "subject": customer_id,
            "notice": Jsonb({"emails": emails, "order_ids": []}),
        },
    )
    return webhook_id


def process_request(settings: Settings, pool: Pool, tenant_id: UUID, webhook_id: str) -> None:
    """Meet one request; what cannot be met now is tried again, or set aside with the reason.

    Requests that have been met are left alone.
    """
    try:
        meet_request(settings, pool, tenant_id, webhook_id)
    except (BusyError, KlaviyoUnavailableError) as error:
        _postpone(pool, tenant_id, webhook_id, error)
    except QuintileError as error:
        _quarantine(pool, tenant_id, webhook_id, error)


def process_now(settings: Settings, pool: Pool, tenant_id: UUID, webhook_id: str) -> None:
    """Meet one request while an operator waits; one that cannot be met is set aside.

    Raises:
        QuintileError: As :func:`meet_request`.
    """
    try:
        meet_request(settings, pool, tenant_id, webhook_id)
    except QuintileError as error:
        _quarantine(pool, tenant_id, webhook_id, error)
        raise


def meet_request(settings: Settings, pool: Pool, tenant_id: UUID, webhook_id: str) -> None:
    """Meet one request, or say why not.

    Raises:
        BusyError: A Klaviyo sync of the tenant is running, which could bring the person back.
        KlaviyoError: Klaviyo does not delete the profile; everything here has been erased.
        QuintileError: The request must not be met, and the advice says what to do instead.
    """
    request = _find(pool, tenant_id, webhook_id)
    if request is None:
        return
    _MEET[request.kind](settings, pool, request)
    log.info("privacy request met", kind=request.kind, tenant_id=str(tenant_id))


def _find(pool: Pool, tenant_id: UUID, webhook_id: str) -> Request | None:
    with tenant_transaction(pool, tenant_id) as conn:
        parameters = {"tenant_id": tenant_id, "webhook_id": webhook_id}
        row = conn.execute(query("privacy.find_request"), parameters).fetchone()
        if row is None:
            return None
        conn.execute(query("privacy.ensure_key"), parameters)
    notice = row["notice"] or {}
    return Request(
        tenant_id,
        webhook_id,
        kind=row["kind"],
        customer_id=row["subject"],
        emails=notice.get("emails", []),
        order_ids=notice.get("order_ids", []),
        requested_at=row["requested_at"],
        attempts=row["attempts"],
        customer_ids=notice.get("customer_ids", []),
        creator_ids=notice.get("creator_ids", []),
        done=notice.get("done", {}),
    )


# -- telling ------------------------------------------------------------------------------------


def _export(settings: Settings, pool: Pool, request: Request) -> None:
    """Put everything held of the person into one sealed document."""
    with tenant_transaction(pool, request.tenant_id) as conn:
        person = _find_person(conn, request)
        parameters = person.parameters()
        held = one(conn.execute(query("privacy.export_person"), parameters).fetchone())["held"]
    with connect(transform_url(settings)) as conn:
        built = one(conn.execute(query("privacy.rows_built"), parameters).fetchone())["built"]
    rows_by_table: dict[str, list[Any]] = {**held, **built}
    document = {
        "requested_at": person.requested_at.isoformat(),
        "customer_id": person.customer_id,
        "email_addresses": person.emails,
        "held": rows_by_table,
    }
    sealed = seal(settings, person.tenant_id, SEALED_AS, json.dumps(document, ensure_ascii=False))
    with tenant_transaction(pool, person.tenant_id) as conn:
        digest = _digest(conn, person)
        conn.execute(
            query("privacy.store_export"),
            {
                "tenant_id": person.tenant_id,
                "subject": digest,
                "sealed_document": sealed.ciphertext,
                "key_id": sealed.key_id,
                "days": settings.privacy_export_days,
            },
        )
        counts = {relation: len(rows) for relation, rows in rows_by_table.items()}
        _finish(conn, person, digest, counts)


# -- erasing a person ---------------------------------------------------------------------------


def _redact(settings: Settings, pool: Pool, request: Request) -> None:
    """Erase a person: here first, then in what dbt built, then at Klaviyo."""
    person = request
    if "landed" not in person.done:
        with tenant_transaction(pool, request.tenant_id) as conn:
            _refuse_while_syncing(conn, request)
            person = _erase_landed(conn, request)
    if "built" not in person.done:
        person = _erase_built(settings, pool, person)
    deleted = _delete_at_klaviyo(settings, pool, person)
    counts = {**person.done["landed"], **person.done["built"]}
    if deleted:
        counts["klaviyo.profiles"] = deleted
    with tenant_transaction(pool, person.tenant_id) as conn:
        _finish(conn, person, _digest(conn, person), counts)


def _refuse_while_syncing(conn: Connection, request: Request) -> None:
    """A push that has planned already would write the address down again."""
    running = conn.execute(
        query("privacy.find_running_push"),
        {"tenant_id": request.tenant_id, "stale_after": STALE_AFTER_SECONDS},
    ).fetchone()
    if running is not None:
        raise BusyError("A Klaviyo sync of this tenant is running.")


def _erase_landed(conn: Connection, request: Request) -> Request:
    person = _find_person(conn, request)
    row = conn.execute(
        query("privacy.erase_person"), person.parameters(subject=_digest(conn, person))
    ).fetchone()
    return _record_progress(conn, person, "landed", one(row)["counts"])


def _erase_built(settings: Settings, pool: Pool, person: Request) -> Request:
    """A build of the tenant that is under way may have read the person, and write them again."""
    with tenant_lock(settings, person.tenant_id, log.info) as conn:
        row = conn.execute(query("privacy.erase_built"), person.parameters()).fetchone()
    with tenant_transaction(pool, person.tenant_id) as conn:
        return _record_progress(conn, person, "built", one(row)["counts"])


def _delete_at_klaviyo(settings: Settings, pool: Pool, person: Request) -> int:
    """Have Klaviyo forget the person's profiles, if the tenant is connected to it."""
    try:
        with open_connected_klaviyo(settings, pool, person.tenant_id) as client:
            for email in person.emails:
                _delete_from_klaviyo(client, email)
    except NotConnectedError:
        return 0
    return len(person.emails)


def _delete_from_klaviyo(client: KlaviyoClient, email: str) -> None:
    try:
        delete_profile(client, email)
    except KlaviyoRefusedError as error:
        # The advice of other refusals does not name the one scope that this needs.
        raise QuintileError(
            f"The person is erased here, but not at Klaviyo (status {error.status}).",
            advice="Give the API key the scope data-privacy:write, connect it again, then:"
            " quintile webhooks retry",
        ) from None


# -- erasing a tenant ---------------------------------------------------------------------------


def _redact_shop(settings: Settings, pool: Pool, request: Request) -> None:
    """Erase the tenant, unless the store has installed the app again since it was removed."""
    with tenant_transaction(pool, request.tenant_id, read_only=True) as conn:
        connected = conn.execute(
            query("privacy.find_newer_connection"),
            {
                "tenant_id": request.tenant_id,
                "removed_by": request.requested_at - _SHOP_REDACT_AFTER,
            },
        ).fetchone()
    if connected is not None:
        raise QuintileError(
            "The store has been connected again since the app was removed; nothing was erased.",
            advice="If it is to be erased all the same: quintile tenants erase NAME",
        )
    erase_tenant(settings, request.tenant_id, request.webhook_id, request.requested_at)


# -- shared -------------------------------------------------------------------------------------


def _find_person(conn: Connection, request: Request) -> Request:
    row = one(conn.execute(query("privacy.find_person"), request.parameters()).fetchone())
    return Request(
        request.tenant_id,
        request.webhook_id,
        request.kind,
        request.customer_id,
        emails=row["emails"],
        order_ids=row["order_ids"],
        requested_at=request.requested_at,
        attempts=request.attempts,
        customer_ids=row["customer_ids"],
        creator_ids=row["creator_ids"],
        done=request.done,
    )


def _record_progress(
    conn: Connection, person: Request, step: str, counts: dict[str, int]
) -> Request:
    """Remember whom it is about, which can be found only once, and what has been done."""
    person.done[step] = counts
    notice = {
        "emails": person.emails,
        "order_ids": person.order_ids,
        "customer_ids": person.customer_ids,
        "creator_ids": person.creator_ids,
        "done": person.done,
    }
    conn.execute(query("privacy.record_progress"), person.parameters(notice=Jsonb(notice)))
    return person


def _digest(conn: Connection, person: Request) -> bytes:
    row = conn.execute(query("privacy.subject_digest"), person.parameters()).fetchone()
    return bytes(one(row)["digest"])


def _finish(conn: Connection, person: Request, digest: bytes, counts: dict[str, int]) -> None:
    """The receipt, and the end of the event, which forgets whom it was about."""
    conn.execute(
        query("privacy.add_receipt"),
        {
            "tenant_id": person.tenant_id,
            "kind": person.kind,
            "webhook_id": person.webhook_id,
            "subject": digest,
            "counts": Jsonb(counts),
            "requested_at": person.requested_at,
        },
    )
    conn.execute(
        query("webhooks.finish_events"),
        {"tenant_id": person.tenant_id, "webhook_ids": [person.webhook_id], "reason": None},
    )


def _postpone(pool: Pool, tenant_id: UUID, webhook_id: str, error: QuintileError) -> None:
    request = _find(pool, tenant_id, webhook_id)
    if request is None:
        return
    if request.attempts + 1 >= _MOST_ATTEMPTS:
        _quarantine(pool, tenant_id, webhook_id, error)
        return
    pause = min(_PAUSE_SECONDS * 2**request.attempts, _LONGEST_PAUSE_SECONDS)
    with tenant_transaction(pool, tenant_id) as conn:
        row = conn.execute(
            query("webhooks.postpone_events"),
            {
                "tenant_id": tenant_id,
                "webhook_ids": [webhook_id],
                "seconds": pause,
                "reason": error.message,
            },
        ).fetchone()
        defer_privacy(conn, tenant_id, webhook_id, one(row)["due_at"])


def _quarantine(pool: Pool, tenant_id: UUID, webhook_id: str, error: QuintileError) -> None:
    with tenant_transaction(pool, tenant_id) as conn:
        conn.execute(
            query("webhooks.quarantine_events"),
            {
                "tenant_id": tenant_id,
                "webhook_ids": [webhook_id],
                "reason": error.message,
                "advice": error.advice or "To try again: quintile webhooks retry",
            },
        )
    log.error("privacy request not met", reason=error.message, tenant_id=str(tenant_id))


_MEET: dict[str, Callable[[Settings, Pool, Request], None]] = {
    "data_request": _export,
    "customer_redact": _redact,
    "shop_redact": _redact_shop,
}
