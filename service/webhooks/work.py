"""Working through a tenant's webhooks: read from the store what they name, land it, tick them off.

What cannot be read is kept aside with the reason, and the others go on. A store that does not
answer is asked again later, at growing intervals.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

import psycopg
import structlog
from psycopg.types.json import Jsonb

from service.core.config import Settings
from service.core.credentials import disconnect, record_refused
from service.core.db import Connection, Pool, one, tenant_transaction
from service.core.errors import NotConnectedError, QuintileError
from service.core.queries import query
from service.queue.defer import defer_notices, wait_for_receivers
from service.shopify.client import ShopifyClient
from service.shopify.connection import open_connected_shopify
from service.shopify.erased import delete_erased_members
from service.shopify.errors import ShopifyRefusedError, ShopifyUnavailableError
from service.shopify.loading import (
    load_customers,
    load_orders,
    mark_customers_deleted,
    mark_orders_deleted,
    merge_customers,
    quarantine,
    read_clock,
)
from service.shopify.parse import (
    Node,
    Row,
    number_of,
    parse_customer,
    parse_member,
    parse_order,
    sort_out,
)
from service.shopify.refetch import complete_lines
from service.shopify.segments import Source, sync_one_segment
from service.webhooks.topics import PRIVACY_KINDS

# How many things one reading names: twenty orders with their lines stay below the most that one
# query may cost.
_AT_ONCE = 20
_DUE_ROWS = 200
# Later tries are cheaper than a worker that waits.
_CALL_ATTEMPTS = 3
# 10 seconds, 40, 160, …: the last try is some four hours after the first.
_FIRST_PAUSE_SECONDS = 10.0
_LONGEST_PAUSE_SECONDS = 3600.0
MOST_ATTEMPTS = 8
# A copy of the store's database that lags behind has caught up by then, or the webhook was wrong.
_STALE_ATTEMPTS = 3

log = structlog.get_logger(__name__)

Wake = Callable[[Connection, UUID], None]


class _Silent:
    """Progress that nobody follows: a webhook is no run."""

    def phase(self, name: str, total: int | None = None) -> None:
        """Nothing to tell."""

    def advance(self, done: int = 1) -> None:
        """Nothing to tell."""

    def count(self, **counts: int) -> None:
        """Nothing to tell."""


@dataclass(frozen=True)
class Due:
    """Webhooks about one thing, taken together. ``attempts`` is how often it has been tried."""

    kind: str
    subject: str
    webhook_ids: list[str]
    store_updated_at: datetime | None
    triggered_at: datetime
    attempts: int
    notices: list[dict[str, Any]]


@dataclass
class _Session:
    """One pass over a tenant's webhooks. The store is connected to when something is to be read."""

    settings: Settings
    pool: Pool
    tenant_id: UUID
    wake_sync: Wake
    stack: ExitStack
    _source: Source | None = field(default=None)

    def source(self) -> Source:
        """The store as the tenant is connected to it.

        Raises:
            NotConnectedError: It is not.
        """
        if self._source is None:
            client = self.stack.enter_context(
                open_connected_shopify(
                    self.settings, self.pool, self.tenant_id, attempts=_CALL_ATTEMPTS
                )
            )
            self._source = Source(client, self.pool, self.tenant_id, _Silent())
        return self._source


class _Handler(Protocol):
    """Does the work of webhooks of one kind and ticks them off in the transaction that lands it."""

    def __call__(self, session: _Session, dues: Sequence[Due]) -> None: ...


def process_notices(settings: Settings, pool: Pool, tenant_id: UUID, wake_sync: Wake) -> None:
    """Work through a tenant's webhooks that are due; the privacy topics have a job of their own.

    Args:
        settings: How to reach the store.
        pool: The service's pool.
        tenant_id: Whose webhooks.
        wake_sync: Queues a sync of the tenant's store, in a transaction of the tenant.
    """
    with tenant_transaction(pool, tenant_id) as conn:
        wait_for_receivers(conn, tenant_id)
    with ExitStack() as stack:
        session = _Session(settings, pool, tenant_id, wake_sync, stack)
        while dues := _find_due(pool, tenant_id):
            for handler, group in _grouped(dues):
                _try(session, handler, group)


def _find_due(pool: Pool, tenant_id: UUID) -> list[Due]:
    with tenant_transaction(pool, tenant_id, read_only=True) as conn:
        rows = conn.execute(
            query("webhooks.list_due_events"),
            {
                "tenant_id": tenant_id,
                "other_kinds": sorted(PRIVACY_KINDS),
                "row_limit": _DUE_ROWS,
            },
        ).fetchall()
    return [Due(**row) for row in rows]


def _grouped(dues: Sequence[Due]) -> Iterator[tuple[_Handler, list[Due]]]:
    """The work in pieces: what can be read together, at most so much of it at once."""
    by_kind: dict[str, list[Due]] = {}
    for due in dues:
        by_kind.setdefault(due.kind, []).append(due)
    # A store that has removed the app answers nothing any more: that comes first.
    for kind in sorted(by_kind, key=lambda kind: kind != "uninstall"):
        handler, at_once = _HANDLERS[kind]
        group = by_kind[kind]
        for start in range(0, len(group), at_once):
            yield handler, group[start : start + at_once]


def _try(session: _Session, handler: _Handler, dues: list[Due]) -> None:
    """Do one piece of work; what goes wrong stays with its own webhooks."""
    try:
        handler(session, dues)
    except (ShopifyUnavailableError, psycopg.errors.SerializationFailure) as error:
        reason = error.message if isinstance(error, QuintileError) else "The database was busy."
        _postpone(session, dues, reason)
    except (NotConnectedError, ShopifyRefusedError) as error:
        with tenant_transaction(session.pool, session.tenant_id) as conn:
            if isinstance(error, ShopifyRefusedError):
                record_refused(conn, session.tenant_id, "shopify", error.message)
            _quarantine(conn, session.tenant_id, dues, error.message, error.advice)
    except psycopg.OperationalError:
        # The database is gone, and with it whatever could be written down: the job is tried again.
        raise
    except Exception as error:  # noqa: BLE001 - one poisonous webhook must not stop the others
        if len(dues) > 1:
            for due in dues:
                _try(session, handler, [due])
            return
        _give_up(session, dues, error)


def _give_up(session: _Session, dues: list[Due], error: Exception) -> None:
    if isinstance(error, QuintileError):
        reason, advice = error.message, error.advice
    else:
        # The text of an unforeseen error may hold anything: it goes to the log only.
        reason = f"Something unforeseen went wrong ({type(error).__name__})."
        advice = "The log has the details. To try again: quintile webhooks retry"
        log.error("webhook failed", exc_info=error, tenant_id=str(session.tenant_id))
    with tenant_transaction(session.pool, session.tenant_id) as conn:
        _quarantine(conn, session.tenant_id, dues, reason, advice)


def _postpone(session: _Session, dues: Sequence[Due], reason: str) -> None:
    """Try these again later, each as often as it may be."""
    with tenant_transaction(session.pool, session.tenant_id) as conn:
        for due in dues:
            if due.attempts + 1 >= MOST_ATTEMPTS:
                advice = "The next sync brings it. To try again: quintile webhooks retry"
                _quarantine(conn, session.tenant_id, [due], reason, advice)
            else:
                _put_off(conn, session.tenant_id, due, reason)


def _put_off(conn: Connection, tenant_id: UUID, due: Due, reason: str) -> None:
    pause = min(_FIRST_PAUSE_SECONDS * 4**due.attempts, _LONGEST_PAUSE_SECONDS)
    postponed = one(
        conn.execute(
            query("webhooks.postpone_events"),
            {
                "tenant_id": tenant_id,
                "webhook_ids": due.webhook_ids,
                "seconds": pause,
                "reason": reason,
            },
        ).fetchone()
    )
    defer_notices(conn, tenant_id, postponed["due_at"])


def _quarantine(
    conn: Connection, tenant_id: UUID, dues: Sequence[Due], reason: str, advice: str
) -> None:
    conn.execute(
        query("webhooks.quarantine_events"),
        {
            "tenant_id": tenant_id,
            "webhook_ids": [webhook_id for due in dues for webhook_id in due.webhook_ids],
            "reason": reason,
            "advice": advice or None,
        },
    )


def _finish(conn: Connection, tenant_id: UUID, due: Due, reason: str | None = None) -> None:
    conn.execute(
        query("webhooks.finish_events"),
        {"tenant_id": tenant_id, "webhook_ids": due.webhook_ids, "reason": reason},
    )


# -- orders and customers -----------------------------------------------------------------------


def _orders(session: _Session, dues: Sequence[Due]) -> None:
    """Read the orders as they are now, and land them."""
    source = session.source()
    read_at = read_clock(session.pool, session.tenant_id)
    nodes = _read_nodes(source.client, "orders_by_id", "Order", dues)
    for node in nodes.values():
        complete_lines(source.client, node)
    _load(session, dues, nodes, "order", parse_order, load_orders, read_at)


def _customers(session: _Session, dues: Sequence[Due]) -> None:
    """Read the customers as they are now, and land them."""
    read_at = read_clock(session.pool, session.tenant_id)
    nodes = _read_nodes(session.source().client, "customers_by_id", "Customer", dues)
    _load(session, dues, nodes, "customer", parse_customer, load_customers, read_at)


def _read_nodes(
    client: ShopifyClient, document: str, kind: str, dues: Sequence[Due]
) -> dict[str, Node]:
    """What the store has of the things named, by id; it answers null for what is not there."""
    gids = [f"gid://shopify/{kind}/{due.subject}" for due in dues]
    found = client.run(document, ids=gids)["nodes"]
    return {number_of(node["id"]): node for node in found if node}


def _load(
    session: _Session,
    dues: Sequence[Due],
    nodes: dict[str, Node],
    entity: str,
    parse: Callable[[Node], Row],
    land: Callable[[Connection, UUID, Sequence[Row], datetime], int],
    read_at: datetime,
) -> None:
    rows, rejections = sort_out(nodes.values(), parse)
    with tenant_transaction(session.pool, session.tenant_id) as conn:
        land(conn, session.tenant_id, rows, read_at)
        quarantine(conn, session.tenant_id, entity, rejections)
        for due in dues:
            node = nodes.get(due.subject)
            if node is None:
                # Deleted since, or older than what the token may see. Deletions are told by
                # webhooks of their own, and found by comparing with the store.
                _finish(conn, session.tenant_id, due, "The store does not show it.")
            elif _is_older(node, due) and due.attempts < _STALE_ATTEMPTS:
                reason = "The store did not know yet of what it had told us."
                _put_off(conn, session.tenant_id, due, reason)
            else:
                _finish(conn, session.tenant_id, due)


def _is_older(node: Node, due: Due) -> bool:
    """Whether what was read is older than what the webhook told of."""
    if due.store_updated_at is None:
        return False
    return datetime.fromisoformat(node["updatedAt"]) < due.store_updated_at


def _deleted_orders(session: _Session, dues: Sequence[Due]) -> None:
    """Ids are never used again, so a deletion needs no second look."""
    with tenant_transaction(session.pool, session.tenant_id) as conn:
        mark_orders_deleted(conn, session.tenant_id, [due.subject for due in dues])
        for due in dues:
            _finish(conn, session.tenant_id, due)


def _deleted_customers(session: _Session, dues: Sequence[Due]) -> None:
    with tenant_transaction(session.pool, session.tenant_id) as conn:
        mark_customers_deleted(conn, session.tenant_id, [due.subject for due in dues])
        for due in dues:
            _finish(conn, session.tenant_id, due)


def _merges(session: _Session, dues: Sequence[Due]) -> None:
    """Follow a merge once the store has done it: then it has the one customer and not the other.

    The webhook comes for merges that fail, too, and its status is a word that may grow.
    """
    (due,) = dues
    kept_id = str(due.notices[-1]["kept_id"])
    gids = [f"gid://shopify/Customer/{number}" for number in (kept_id, due.subject)]
    read_at = read_clock(session.pool, session.tenant_id)
    kept, gone = session.source().client.run("customers_by_id", ids=gids)["nodes"]
    is_told_done = any(notice["status"] == "completed" for notice in due.notices)
    rows, rejections = sort_out([kept] if kept else [], parse_customer)
    with tenant_transaction(session.pool, session.tenant_id) as conn:
        load_customers(conn, session.tenant_id, rows, read_at)
        quarantine(conn, session.tenant_id, "customer", rejections)
        if kept and not gone:
            merge_customers(conn, session.tenant_id, kept_id, due.subject)
            _finish(conn, session.tenant_id, due)
        elif is_told_done and due.attempts < _STALE_ATTEMPTS:
            reason = "The store did not know yet of what it had told us."
            _put_off(conn, session.tenant_id, due, reason)
        else:
            _finish(conn, session.tenant_id, due, "The store has not merged these customers.")


# -- segments -----------------------------------------------------------------------------------


def _segments(session: _Session, dues: Sequence[Due]) -> None:
    """Read a segment with its members again, or find it gone."""
    (due,) = dues
    sync_one_segment(session.source(), due.subject)
    with tenant_transaction(session.pool, session.tenant_id) as conn:
        _finish(conn, session.tenant_id, due)


def _memberships(session: _Session, dues: Sequence[Due]) -> None:
    """Ask the store in which of the segments named a customer is now, and change those rows."""
    (due,) = dues
    segment_ids = sorted({str(notice["segment_id"]) for notice in due.notices})
    answer = session.source().client.run(
        "segment_memberships",
        customerId=f"gid://shopify/Customer/{due.subject}",
        segmentIds=[f"gid://shopify/Segment/{segment_id}" for segment_id in segment_ids],
    )
    memberships = [
        {"segment_id": number_of(item["segmentId"]), "is_member": bool(item["isMember"])}
        for item in answer["customerSegmentMembership"]["memberships"]
    ]
    customer = answer["customer"]
    if customer is None:
        # Nobody is a member who is no customer any more.
        memberships = [{**item, "is_member": False} for item in memberships]
        customer = {"id": f"gid://shopify/Customer/{due.subject}"}
    with tenant_transaction(session.pool, session.tenant_id) as conn:
        conn.execute(
            query("webhooks.load_memberships"),
            {
                "tenant_id": session.tenant_id,
                "memberships": Jsonb(memberships),
                **parse_member(customer),
            },
        )
        delete_erased_members(conn, session.tenant_id, segment_ids)
        _finish(conn, session.tenant_id, due)


# -- the rest -----------------------------------------------------------------------------------


def _bulk_operations(session: _Session, dues: Sequence[Due]) -> None:
    """Somebody may be waiting for it; a sync looks."""
    with tenant_transaction(session.pool, session.tenant_id) as conn:
        session.wake_sync(conn, session.tenant_id)
        for due in dues:
            _finish(conn, session.tenant_id, due)


def _uninstalls(session: _Session, dues: Sequence[Due]) -> None:
    """Forget the token and stop the syncs, unless the store was connected again since."""
    (due,) = dues
    with tenant_transaction(session.pool, session.tenant_id) as conn:
        parameters = {"tenant_id": session.tenant_id, "triggered_at": due.triggered_at}
        gone = conn.execute(query("webhooks.record_uninstalled"), parameters).fetchone()
        if gone is None:
            _finish(conn, session.tenant_id, due, "The store has been connected again since.")
            return
        disconnect(conn, session.tenant_id, "shopify", "The app was removed from the store.")
        conn.execute(query("webhooks.cancel_syncs"), parameters)
        _finish(conn, session.tenant_id, due)
    log.info("app uninstalled", tenant_id=str(session.tenant_id))


_HANDLERS: dict[str, tuple[_Handler, int]] = {
    "order": (_orders, _AT_ONCE),
    "order_deleted": (_deleted_orders, _DUE_ROWS),
    "customer": (_customers, _AT_ONCE),
    "customer_deleted": (_deleted_customers, _DUE_ROWS),
    "merge": (_merges, 1),
    "segment": (_segments, 1),
    "membership": (_memberships, 1),
    "bulk_operation": (_bulk_operations, _DUE_ROWS),
    "uninstall": (_uninstalls, 1),
}
