"""Processing a tenant's webhooks: read from the store what they name, and load it.

A webhook is a hint: even a deletion and the removal of the app are done only if the store shows
them.

A webhook that cannot be processed is quarantined and does not stop the others. While the store does
not answer, or refuses the token, webhooks are postponed, longer each time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property, partial
from typing import Any
from uuid import UUID

import psycopg
import structlog
from psycopg.types.json import Jsonb

from service.core.config import Settings
from service.core.credentials import disconnect, record_refused
from service.core.db import Connection, Pool, tenant_transaction
from service.core.errors import NotConnectedError, QuintileError
from service.core.queries import query
from service.promo_codes.codes import ask_for_updates
from service.queue.defer import wait_for_receivers
from service.shopify.connection import open_connected_shopify
from service.shopify.erased import delete_erased_members
from service.shopify.errors import (
    ShopifyDeniedError,
    ShopifyNotInstalledError,
    ShopifyRefusedError,
    ShopifyRefusedRefreshError,
    ShopifyUnavailableError,
)
from service.shopify.loading import (
    load_customers,
    load_nodes,
    mark_customers_deleted,
    mark_orders_deleted,
    merge_customers,
    quarantine,
    read_clock,
)
from service.shopify.parse import (
    Node,
    number_of,
    parse_customer,
    parse_member,
    sort_out,
)
from service.shopify.refetch import read_by_ids
from service.shopify.resources import CUSTOMERS, ORDERS, Resource
from service.shopify.segments import sync_one_segment
from service.shopify.source import Source
from service.webhooks.events import (
    finish_events,
    hold_events,
    postpone_events,
    quarantine_events,
)
from service.webhooks.topics import ERASING_KINDS, PRIVACY_KINDS

# Ids in one query: twenty orders with their lines stay below Shopify's limit of a query's cost.
_AT_ONCE = 20
_DUE_ROWS = 200
# Few, because postponing webhooks is cheaper than a waiting worker.
_CALL_ATTEMPTS = 3
# 10 seconds, 40, 160, …: the last attempt is about four hours after the first.
_FIRST_PAUSE_SECONDS = 10.0
_LONGEST_PAUSE_SECONDS = 3600.0
_MOST_ATTEMPTS = 8
# By then a lagging replica of the store has caught up, or the webhook was wrong.
_STALE_ATTEMPTS = 3
# Refusals by mistake have passed by then, about three minutes after the first.
_REFUSED_ATTEMPTS = 3
_SYNC_ADVICE = "The next sync reads what has changed. To retry: quintile webhooks retry"
_STALE = "The store does not show the change yet."
_STILL_THERE = "The store still has it."
_STILL_INSTALLED = "The store still has the app: it accepts the access token."

log = structlog.get_logger(__name__)

Wake = Callable[[Connection, UUID], None]


class _NoProgress:
    """Progress of webhooks, which have no run to report it in."""

    def phase(self, name: str, total: int | None = None) -> None:
        pass

    def advance(self, done: int = 1) -> None:
        pass

    def count(self, **counts: int) -> None:
        pass


@dataclass(frozen=True)
class Due:
    """Due webhooks about one thing; ``attempts`` is the highest number of attempts of one.

    ``is_confirmed`` is whether a person has confirmed one of them.
    """

    kind: str
    subject: str
    webhook_ids: list[str]
    store_updated_at: datetime | None
    triggered_at: datetime
    attempts: int
    is_confirmed: bool
    notices: list[dict[str, Any]]


@dataclass
class _Session:
    """One pass over a tenant's webhooks; it connects to the store when something must be read."""

    settings: Settings
    pool: Pool
    tenant_id: UUID
    wake_sync: Wake
    stack: ExitStack

    @cached_property
    def source(self) -> Source:
        """The tenant's store.

        Raises:
            NotConnectedError: The tenant is not connected to it.
        """
        client = self.stack.enter_context(
            open_connected_shopify(
                self.settings, self.pool, self.tenant_id, attempts=_CALL_ATTEMPTS
            )
        )
        return Source(client, self.pool, self.tenant_id, _NoProgress())

    def transaction(self) -> AbstractContextManager[Connection]:
        """A transaction of the tenant."""
        return tenant_transaction(self.pool, self.tenant_id)

    def finish(self, conn: Connection, dues: Sequence[Due], reason: str | None = None) -> None:
        """Mark webhooks as done."""
        finish_events(conn, self.tenant_id, _ids(dues), reason)

    def postpone(self, conn: Connection, due: Due, reason: str) -> None:
        """Try webhooks again later; after too many attempts quarantine them, or ask a person."""
        if due.attempts + 1 >= _MOST_ATTEMPTS:
            self.give_up(conn, [due], reason, _SYNC_ADVICE)
            return
        pause = min(_FIRST_PAUSE_SECONDS * 4**due.attempts, _LONGEST_PAUSE_SECONDS)
        postpone_events(
            conn, self.tenant_id, due.webhook_ids, due.kind, seconds=pause, reason=reason
        )

    def give_up(
        self, conn: Connection, dues: Sequence[Due], reason: str, advice: str | None
    ) -> None:
        """Quarantine webhooks; hold those that would delete something and were not confirmed."""
        for due in dues:
            if due.kind in ERASING_KINDS and not due.is_confirmed:
                hold_events(conn, self.tenant_id, due.webhook_ids, reason)
            else:
                quarantine_events(conn, self.tenant_id, due.webhook_ids, reason, advice or "")


# Processes webhooks of one kind, and marks them as done in the transaction that loads the data.
_Handler = Callable[[_Session, Sequence[Due]], None]


def process_notices(settings: Settings, pool: Pool, tenant_id: UUID, wake_sync: Wake) -> None:
    """Process a tenant's due webhooks, except privacy requests, which have their own job.

    Args:
        settings: How to reach the store.
        pool: The service's pool.
        tenant_id: The tenant.
        wake_sync: Queues a sync of the tenant's store, in a transaction of the tenant.
    """
    with tenant_transaction(pool, tenant_id) as conn:
        wait_for_receivers(conn, tenant_id)
    with ExitStack() as stack:
        session = _Session(settings, pool, tenant_id, wake_sync, stack)
        while dues := _find_due(session):
            for handler, group in _grouped(dues):
                _process(session, handler, group)


def _find_due(session: _Session) -> list[Due]:
    with tenant_transaction(session.pool, session.tenant_id, read_only=True) as conn:
        rows = conn.execute(
            query("webhooks.list_due_events"),
            {
                "tenant_id": session.tenant_id,
                "other_kinds": sorted(PRIVACY_KINDS),
                "row_limit": _DUE_ROWS,
            },
        ).fetchall()
    return [Due(**row) for row in rows]


def _grouped(dues: Sequence[Due]) -> Iterator[tuple[_Handler, list[Due]]]:
    """Webhooks of one kind together, as many as its handler takes at once."""
    by_kind: dict[str, list[Due]] = {}
    for due in dues:
        by_kind.setdefault(due.kind, []).append(due)
    # A store without the app no longer answers, so that is processed first.
    for kind in sorted(by_kind, key=lambda kind: kind != "uninstall"):
        handler, at_once = _HANDLERS[kind]
        group = by_kind[kind]
        for start in range(0, len(group), at_once):
            yield handler, group[start : start + at_once]


def _ids(dues: Sequence[Due]) -> list[str]:
    return [webhook_id for due in dues for webhook_id in due.webhook_ids]


def _process(session: _Session, handler: _Handler, dues: Sequence[Due]) -> None:
    """Call a handler; a failure affects the webhooks that caused it only."""
    try:
        handler(session, dues)
    except (
        ShopifyRefusedError,
        ShopifyUnavailableError,
        psycopg.errors.SerializationFailure,
    ) as error:
        reason = error.message if isinstance(error, QuintileError) else "The database was busy."
        with session.transaction() as conn:
            if isinstance(error, ShopifyRefusedError):
                record_refused(conn, session.tenant_id, "shopify", reason)
            for due in dues:
                session.postpone(conn, due, reason)
    except NotConnectedError as error:
        _give_up(session, dues, error)
    except psycopg.OperationalError:
        # Without the database nothing can be recorded: the queue retries the job.
        raise
    except Exception as error:  # noqa: BLE001 - one bad webhook must not stop the others
        if len(dues) == 1:
            _give_up(session, dues, error)
            return
        for due in dues:
            _process(session, handler, [due])


def _give_up(session: _Session, dues: Sequence[Due], error: Exception) -> None:
    """Quarantine webhooks that cannot be processed."""
    if isinstance(error, QuintileError):
        reason, advice = error.message, error.advice
    else:
        # The text of an unexpected error may hold anything, so it goes to the log only.
        reason = f"An unexpected error occurred ({type(error).__name__})."
        advice = "The log has the details. To retry: quintile webhooks retry"
        log.error("webhook failed", exc_info=error, tenant_id=str(session.tenant_id))
    with session.transaction() as conn:
        session.give_up(conn, dues, reason, advice)


# -- orders and customers -----------------------------------------------------------------------


def _reload(resource: Resource, session: _Session, dues: Sequence[Due]) -> None:
    """Read orders or customers in their current state, and load them."""
    client, read_at = session.source.client, read_clock(session.pool, session.tenant_id)
    found = read_by_ids(client, resource, [due.subject for due in dues])
    with session.transaction() as conn:
        load_nodes(
            conn,
            session.tenant_id,
            resource,
            filter(None, found.nodes.values()),
            read_at,
            withheld=client.withheld,
            missing=found.missing,
            unserved=list(found.unserved.values()),
        )
        for due in dues:
            node = found.nodes.get(due.subject)
            if due.subject in found.lasting:
                reason = found.unserved[due.subject].reason
                quarantine_events(conn, session.tenant_id, due.webhook_ids, reason, _SYNC_ADVICE)
            elif (rejection := found.unserved.get(due.subject)) is not None:
                session.postpone(conn, due, rejection.reason)
            elif node is None:
                # Deleted by now, or older than the token may read. Deletions have their own
                # webhooks, and the comparison with the store finds them.
                session.finish(conn, [due], "The store does not show it.")
            elif _is_stale(node, due):
                session.postpone(conn, due, _STALE)
            else:
                session.finish(conn, [due])


def _is_stale(node: Node, due: Due) -> bool:
    """Whether the store still shows a record as it was before the change of a webhook."""
    if due.store_updated_at is None or due.attempts >= _STALE_ATTEMPTS:
        return False
    return datetime.fromisoformat(node["updatedAt"]) < due.store_updated_at


def _mark_deleted(
    resource: Resource,
    mark: Callable[[Connection, UUID, Sequence[str]], object],
    session: _Session,
    dues: Sequence[Due],
) -> None:
    """Mark records as deleted that the store no longer shows; ids are never reused."""
    found = read_by_ids(session.source.client, resource, [due.subject for due in dues])
    with session.transaction() as conn:
        for due in dues:
            if (rejection := found.unserved.get(due.subject)) is not None:
                session.postpone(conn, due, rejection.reason)
            elif found.nodes[due.subject] is None:
                mark(conn, session.tenant_id, [due.subject])
                session.finish(conn, [due])
            elif due.attempts < _STALE_ATTEMPTS:
                session.postpone(conn, due, _STALE)
            else:
                session.finish(conn, [due], _STILL_THERE)


def _merges(session: _Session, dues: Sequence[Due]) -> None:
    """Merge two customers if the store has: it then shows the kept one and not the other.

    The webhook comes for failed merges too, and its ``status`` may get new values.
    """
    (due,) = dues
    kept_id = str(due.notices[-1]["kept_id"])
    gids = [f"gid://shopify/Customer/{number}" for number in (kept_id, due.subject)]
    read_at = read_clock(session.pool, session.tenant_id)
    kept, gone = session.source.client.run("customers_by_id", ids=gids)["nodes"]
    is_completed = any(notice["status"] == "completed" for notice in due.notices)
    rows, rejections = sort_out([kept] if kept else [], parse_customer)
    with session.transaction() as conn:
        withheld = session.source.client.withheld
        load_customers(conn, session.tenant_id, rows, read_at, withheld)
        quarantine(conn, session.tenant_id, "customer", rejections)
        if kept and not gone:
            merge_customers(conn, session.tenant_id, kept_id, due.subject)
            session.finish(conn, dues)
        elif is_completed and due.attempts < _STALE_ATTEMPTS:
            session.postpone(conn, due, _STALE)
        else:
            session.finish(conn, dues, "The store has not merged these customers.")


# -- segments -----------------------------------------------------------------------------------


def _segments(session: _Session, dues: Sequence[Due]) -> None:
    """Read a segment with its members again; the store may have deleted it."""
    (due,) = dues
    sync_one_segment(session.source, due.subject)
    with session.transaction() as conn:
        ask_for_updates(conn, session.tenant_id)
        session.finish(conn, dues)


def _memberships(session: _Session, dues: Sequence[Due]) -> None:
    """Ask the store in which of some segments a customer is, and change those rows."""
    (due,) = dues
    customer_gid = f"gid://shopify/Customer/{due.subject}"
    segment_ids = sorted({str(notice["segment_id"]) for notice in due.notices})
    answer = session.source.client.run(
        "segment_memberships",
        customerId=customer_gid,
        segmentIds=[f"gid://shopify/Segment/{segment_id}" for segment_id in segment_ids],
    )
    customer = answer["customer"]
    memberships = [
        {
            "segment_id": number_of(item["segmentId"]),
            # A deleted customer is a member of no segment.
            "is_member": bool(item["isMember"]) and customer is not None,
        }
        for item in answer["customerSegmentMembership"]["memberships"]
    ]
    with session.transaction() as conn:
        parameters = {"tenant_id": session.tenant_id, "segment_ids": segment_ids}
        conn.execute(query("webhooks.lock_segments"), parameters)
        conn.execute(
            query("webhooks.load_memberships"),
            {
                "tenant_id": session.tenant_id,
                "memberships": Jsonb(memberships),
                "is_withheld": bool(session.source.client.withheld),
                **parse_member(customer or {"id": customer_gid}),
            },
        )
        delete_erased_members(conn, session.tenant_id, segment_ids)
        session.finish(conn, dues)


# -- bulk operations and uninstalls -------------------------------------------------------------


def _bulk_operations(session: _Session, dues: Sequence[Due]) -> None:
    """Queue a sync, which continues with the result of a finished bulk operation."""
    with session.transaction() as conn:
        session.wake_sync(conn, session.tenant_id)
        session.finish(conn, dues)


def _uninstalls(session: _Session, dues: Sequence[Due]) -> None:
    """Delete the token and cancel syncs, if the store keeps refusing it or a person confirms.

    Nothing happens if the store has been connected again.
    """
    (due,) = dues
    parameters = {"tenant_id": session.tenant_id, "triggered_at": due.triggered_at}
    with session.transaction() as conn:
        found = conn.execute(query("webhooks.find_removable"), parameters).fetchone()
        if found is None:
            session.finish(conn, dues, "The store is not connected, or was connected again since.")
            return
    is_lasting = found["state"] == "refused" and due.attempts >= _REFUSED_ATTEMPTS
    if not due.is_confirmed and _is_installed(session, is_lasting=is_lasting):
        with session.transaction() as conn:
            if due.attempts < _STALE_ATTEMPTS:
                session.postpone(conn, due, _STILL_INSTALLED)
            else:
                session.finish(conn, dues, _STILL_INSTALLED)
        return
    with session.transaction() as conn:
        gone = conn.execute(query("webhooks.record_uninstalled"), parameters).fetchone()
        if gone is None:
            session.finish(conn, dues, "The store has been connected again since.")
            return
        disconnect(conn, session.tenant_id, "shopify", "The app was removed from the store.")
        conn.execute(query("webhooks.cancel_syncs"), parameters)
        session.finish(conn, dues)
    log.info("app uninstalled", tenant_id=str(session.tenant_id))


def _is_installed(session: _Session, *, is_lasting: bool) -> bool:
    """Whether the store accepts the app's token, which it revokes when the app is removed.

    Raises:
        ShopifyRefusedError: It refuses the token, but has not done so for long enough
            (``is_lasting``), or refuses to renew it without saying that the app is not installed:
            that has other reasons, too.
    """
    try:
        session.source.client.run("shop")
    except ShopifyDeniedError:
        return True
    except ShopifyRefusedError as error:
        is_other = isinstance(error, ShopifyRefusedRefreshError) and not isinstance(
            error, ShopifyNotInstalledError
        )
        if is_other or not is_lasting:
            raise
        return False
    return True


# By kind of notice: the handler, and how many subjects it takes at once.
_HANDLERS: dict[str, tuple[_Handler, int]] = {
    "order": (partial(_reload, ORDERS), _AT_ONCE),
    "order_deleted": (partial(_mark_deleted, ORDERS, mark_orders_deleted), _AT_ONCE),
    "customer": (partial(_reload, CUSTOMERS), _AT_ONCE),
    "customer_deleted": (partial(_mark_deleted, CUSTOMERS, mark_customers_deleted), _AT_ONCE),
    "merge": (_merges, 1),
    "segment": (_segments, 1),
    "membership": (_memberships, 1),
    "bulk_operation": (_bulk_operations, _DUE_ROWS),
    "uninstall": (_uninstalls, 1),
}
