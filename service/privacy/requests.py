"""Fulfilling privacy requests: export a person's data, erase a person, erase a tenant.

A request is a webhook of Shopify, or stored as one by an operator's command. Each step is recorded
and can be repeated, so an interrupted job is simply run again.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import UUID, uuid4

import structlog
from psycopg.types.json import Jsonb

from service.builds.locks import tenant_lock
from service.core.config import Settings
from service.core.db import Connection, Pool, connect, one, tenant_transaction, transform_url
from service.core.errors import InvalidInputError, NotConnectedError, QuintileError
from service.core.queries import query
from service.core.vault import seal
from service.klaviyo.account import delete_profile
from service.klaviyo.client import (
    KlaviyoClient,
    KlaviyoRefusedError,
    KlaviyoUnavailableError,
)
from service.klaviyo.connection import open_connected_klaviyo
from service.privacy.confirmation import (
    HeldError,
    NotSettledError,
    confirm_customer,
    confirm_shop,
)
from service.privacy.tenant import erase_tenant
from service.queue.runs import STALE_AFTER_SECONDS
from service.shopify.errors import ShopifyError
from service.shopify.phones import normalize_phone
from service.webhooks.events import (
    finish_events,
    hold_events,
    postpone_events,
    quarantine_events,
)

log = structlog.get_logger(__name__)

Kind = Literal["data_request", "customer_redact"]

_TOPICS: dict[Kind, str] = {
    "data_request": "customers/data_request",
    "customer_redact": "customers/redact",
}
# The provider to which the seal of an export is bound.
SEALED_AS = "privacy export"
# Shopify sends shop/redact two days after the app was removed.
_SHOP_REDACT_AFTER = timedelta(hours=48)
_PAUSE_SECONDS = 60
_LONGEST_PAUSE_SECONDS = 3600
_MOST_ATTEMPTS = 24


class BusyError(QuintileError):
    """A running sync could bring an erased person back; the request is tried again later."""


@dataclass(frozen=True)
class Request:
    """A request and the person it is about; ``done`` has the counts of each finished step.

    ``is_shop_named`` is whether its signed body names the shop, ``is_confirmed`` whether the store
    or a person has confirmed it.
    """

    tenant_id: UUID
    webhook_id: str
    kind: str
    customer_id: str
    requested_at: datetime
    attempts: int
    is_shop_named: bool
    is_confirmed: bool
    emails: list[str] = field(default_factory=list)
    phones: list[str] = field(default_factory=list)
    order_ids: list[str] = field(default_factory=list)
    customer_ids: list[str] = field(default_factory=list)
    creator_ids: list[str] = field(default_factory=list)
    done: dict[str, Any] = field(default_factory=dict)

    def parameters(self, **more: Any) -> dict[str, Any]:
        """Parameters of the statements about the person."""
        return {
            "tenant_id": self.tenant_id,
            "webhook_id": self.webhook_id,
            "customer_id": self.customer_id,
            "customer_ids": self.customer_ids or [self.customer_id],
            "creator_ids": self.creator_ids,
            "order_ids": self.order_ids,
            "emails": self.emails,
            "phones": self.phones,
            **more,
        }


# What the stored request keeps in its column notice.
_NOTICE = ("emails", "phones", "order_ids", "customer_ids", "creator_ids", "done")


def find_customer_of_phone(conn: Connection, tenant_id: UUID, phone: str) -> tuple[str, str]:
    """The id of a customer identified by a phone number, and the number as it is stored.

    Raises:
        InvalidInputError: It is not a phone number.
    """
    shop = one(conn.execute(query("privacy.find_country"), {"tenant_id": tenant_id}).fetchone())
    number = normalize_phone(phone, shop["country"])
    if number is None:
        raise InvalidInputError(
            f"'{phone}' is not a phone number.", advice="Write it as +8801712345678."
        )
    row = one(conn.execute(query("privacy.find_customer_of_phone"), {"phone": number}).fetchone())
    return row["customer_id"], number


def add_request(
    conn: Connection,
    tenant_id: UUID,
    kind: Kind,
    customer_id: str,
    emails: list[str],
    phones: Sequence[str] = (),
) -> str:
    """Store an operator's request and return its id; ``phones`` are as they are stored."""
    webhook_id = f"operator:{uuid4()}"
    conn.execute(
        query("privacy.add_request"),
        {
            "tenant_id": tenant_id,
            "webhook_id": webhook_id,
            "topic": _TOPICS[kind],
            "kind": kind,
            "subject": customer_id,
            "notice": Jsonb({"emails": emails, "phones": [*phones], "order_ids": []}),
        },
    )
    return webhook_id


def process_request(settings: Settings, pool: Pool, tenant_id: UUID, webhook_id: str) -> None:
    """Fulfil a request in a job; on failure postpone it, or quarantine it with the reason.

    An erasure that the store does not confirm is held for a person. A request that is no longer
    queued is ignored.
    """
    try:
        _fulfil(settings, pool, tenant_id, webhook_id)
    except HeldError as error:
        _hold(pool, tenant_id, webhook_id, error)
    except (BusyError, KlaviyoUnavailableError, NotSettledError, ShopifyError) as error:
        _postpone(pool, tenant_id, webhook_id, error)
    except QuintileError as error:
        _quarantine(pool, tenant_id, webhook_id, error)


def process_now(settings: Settings, pool: Pool, tenant_id: UUID, webhook_id: str) -> None:
    """Fulfil a request while an operator waits; on failure quarantine it.

    Raises:
        BusyError: A sync to Klaviyo or of promo codes runs, which could bring the person back.
        KlaviyoError: Klaviyo did not delete the profile; everything here has been erased.
        QuintileError: The request must not be fulfilled; the advice says what to do instead.
    """
    try:
        _fulfil(settings, pool, tenant_id, webhook_id)
    except QuintileError as error:
        _quarantine(pool, tenant_id, webhook_id, error)
        raise


def _fulfil(settings: Settings, pool: Pool, tenant_id: UUID, webhook_id: str) -> None:
    request = _find(pool, tenant_id, webhook_id)
    if request is None:
        return
    _HANDLERS[request.kind](settings, pool, request)
    log.info("privacy request fulfilled", kind=request.kind, tenant_id=str(tenant_id))


def _find(pool: Pool, tenant_id: UUID, webhook_id: str) -> Request | None:
    with tenant_transaction(pool, tenant_id) as conn:
        parameters = {"tenant_id": tenant_id, "webhook_id": webhook_id}
        row = conn.execute(query("privacy.find_request"), parameters).fetchone()
        if row is None:
            return None
        conn.execute(query("privacy.ensure_key"), parameters)
    notice = row.pop("notice") or {}
    stored = {name: notice[name] for name in _NOTICE if name in notice}
    return Request(tenant_id, webhook_id, **row, **stored)


# -- export -------------------------------------------------------------------------------------


def _export(settings: Settings, pool: Pool, request: Request) -> None:
    """Store one sealed document with all data about the person."""
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
        "phone_numbers": person.phones,
        "held": rows_by_table,
    }
    text = json.dumps(document, ensure_ascii=False)
    with tenant_transaction(pool, person.tenant_id) as conn:
        digest = _digest(conn, person)
        conn.execute(
            query("privacy.store_export"),
            {
                "tenant_id": person.tenant_id,
                "subject": digest,
                "days": settings.privacy_export_days,
                **seal(settings, person.tenant_id, SEALED_AS, text),
            },
        )
        counts = {relation: len(rows) for relation, rows in rows_by_table.items()}
        _finish(conn, person, digest, counts)


# -- erasure of a person ------------------------------------------------------------------------


def _redact(settings: Settings, pool: Pool, request: Request) -> None:
    """Erase a person: in the loaded data first, then in what dbt built, then at Klaviyo."""
    person = request
    if not request.is_confirmed:
        confirm_customer(
            settings,
            pool,
            request.tenant_id,
            request.customer_id,
            is_shop_named=request.is_shop_named,
        )
        _record_confirmed(pool, request)
    if "landed" not in person.done:
        with tenant_transaction(pool, request.tenant_id) as conn:
            _refuse_while_syncing(conn, request)
            person = _erase_loaded(conn, request)
    if "built" not in person.done:
        person = _erase_built(settings, pool, person)
    deleted = _delete_at_klaviyo(settings, pool, person)
    counts = {**person.done["landed"], **person.done["built"]}
    if deleted:
        counts["klaviyo.profiles"] = deleted
    with tenant_transaction(pool, person.tenant_id) as conn:
        _finish(conn, person, _digest(conn, person), counts)


def _refuse_while_syncing(conn: Connection, request: Request) -> None:
    """What has been planned already would store the person again."""
    running = conn.execute(
        query("privacy.find_running_push"),
        {"tenant_id": request.tenant_id, "stale_after": STALE_AFTER_SECONDS},
    ).fetchone()
    if running is not None:
        raise BusyError(
            "A Klaviyo sync, or an update of promo codes or metafields, of this tenant is running."
        )


def _erase_loaded(conn: Connection, request: Request) -> Request:
    person = _find_person(conn, request)
    row = conn.execute(
        query("privacy.erase_person"), person.parameters(subject=_digest(conn, person))
    ).fetchone()
    return _record_progress(conn, person, "landed", one(row)["counts"])


def _erase_built(settings: Settings, pool: Pool, person: Request) -> Request:
    """Wait for a running build, which may have read the person and would write them again."""
    with tenant_lock(settings, person.tenant_id, log.info) as conn:
        row = conn.execute(query("privacy.erase_built"), person.parameters()).fetchone()
    with tenant_transaction(pool, person.tenant_id) as conn:
        return _record_progress(conn, person, "built", one(row)["counts"])


def _delete_at_klaviyo(settings: Settings, pool: Pool, person: Request) -> int:
    """Delete the person's profiles at Klaviyo, if the tenant is connected; returns how many."""
    try:
        with open_connected_klaviyo(settings, pool, person.tenant_id) as client:
            for email in person.emails:
                _delete_profile(client, email)
    except NotConnectedError:
        return 0
    return len(person.emails)


def _delete_profile(client: KlaviyoClient, email: str) -> None:
    try:
        delete_profile(client, email)
    except KlaviyoRefusedError as error:
        # The advice of other refusals does not name the scope that only this needs.
        raise QuintileError(
            f"The person is erased here, but not at Klaviyo (status {error.status}).",
            advice="Give the API key the scope data-privacy:write, connect it again, then run:"
            " quintile webhooks retry",
        ) from None


# -- erasure of a tenant ------------------------------------------------------------------------


def _redact_shop(settings: Settings, pool: Pool, request: Request) -> None:
    """Erase the tenant, unless the store has been connected again since the app was removed."""
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
            advice="To erase it anyway: quintile tenants erase NAME",
        )
    if not request.is_confirmed:
        confirm_shop(
            settings,
            pool,
            request.tenant_id,
            is_shop_named=request.is_shop_named,
            attempts=request.attempts,
        )
        _record_confirmed(pool, request)
    erase_tenant(settings, request.tenant_id, request.webhook_id, request.requested_at)


# -- shared steps -------------------------------------------------------------------------------


def _record_confirmed(pool: Pool, request: Request) -> None:
    with tenant_transaction(pool, request.tenant_id) as conn:
        conn.execute(query("privacy.record_confirmed"), request.parameters())


def _find_person(conn: Connection, request: Request) -> Request:
    """The request with all addresses and ids of the person."""
    row = one(conn.execute(query("privacy.find_person"), request.parameters()).fetchone())
    return replace(request, **row)


def _record_progress(
    conn: Connection, person: Request, step: str, counts: dict[str, int]
) -> Request:
    """Record a finished step and the person, who cannot be found again after their erasure."""
    person.done[step] = counts
    notice = Jsonb({name: getattr(person, name) for name in _NOTICE})
    conn.execute(query("privacy.record_progress"), person.parameters(notice=notice))
    return person


def _digest(conn: Connection, person: Request) -> bytes:
    row = conn.execute(query("privacy.subject_digest"), person.parameters()).fetchone()
    return bytes(one(row)["digest"])


def _finish(conn: Connection, person: Request, digest: bytes, counts: dict[str, int]) -> None:
    """Store the receipt and mark the request as done, which deletes who it was about."""
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
    finish_events(conn, person.tenant_id, [person.webhook_id])


def _postpone(pool: Pool, tenant_id: UUID, webhook_id: str, error: QuintileError) -> None:
    request = _find(pool, tenant_id, webhook_id)
    if request is None:
        return
    if request.attempts + 1 >= _MOST_ATTEMPTS:
        give_up = _hold if isinstance(error, (NotSettledError, ShopifyError)) else _quarantine
        give_up(pool, tenant_id, webhook_id, error)
        return
    pause: float = min(_PAUSE_SECONDS * 2**request.attempts, _LONGEST_PAUSE_SECONDS)
    if isinstance(error, NotSettledError):
        pause = max(pause, error.seconds_left)
    with tenant_transaction(pool, tenant_id) as conn:
        postpone_events(
            conn, tenant_id, [webhook_id], request.kind, seconds=pause, reason=error.message
        )


def _hold(pool: Pool, tenant_id: UUID, webhook_id: str, error: QuintileError) -> None:
    with tenant_transaction(pool, tenant_id) as conn:
        hold_events(conn, tenant_id, [webhook_id], error.message)
    log.warning("erasure held", reason=error.message, tenant_id=str(tenant_id))


def _quarantine(pool: Pool, tenant_id: UUID, webhook_id: str, error: QuintileError) -> None:
    advice = error.advice or "To retry: quintile webhooks retry"
    with tenant_transaction(pool, tenant_id) as conn:
        quarantine_events(conn, tenant_id, [webhook_id], error.message, advice)
    log.error("privacy request failed", reason=error.message, tenant_id=str(tenant_id))


_HANDLERS: dict[str, Callable[[Settings, Pool, Request], None]] = {
    "data_request": _export,
    "customer_redact": _redact,
    "shop_redact": _redact_shop,
}
