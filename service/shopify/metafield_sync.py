"""Write RFM segments and scores to customer metafields, and remove them when turned off.

The difference between the marts and the ledger of what Shopify has accepted is one statement,
whose rows are the calls to make. Before a call the ledger says of its values that they are unknown,
and what they are when Shopify has accepted them; setting or removing a value twice has the same
effect as once. So a run that dies continues where it stopped, whatever changes in between.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

import psycopg
import structlog
from psycopg.types.json import Jsonb

from service.core.config import Settings
from service.core.db import Pool, one, tenant_transaction
from service.core.queries import query
from service.queue.progress import Progress
from service.shopify.client import Data
from service.shopify.connection import open_connected_shopify, verify_shopify
from service.shopify.errors import ShopifyDeniedError, ShopifyUnavailableError
from service.shopify.metafield_definitions import delete_definitions, ensure_definitions
from service.shopify.metafield_upload import (
    MOST_BATCHES,
    current_config,
    finish_upload,
    metafield_identifiers,
    metafield_inputs,
    upload_changes,
)
from service.shopify.metafields import (
    NAMESPACE,
    MetafieldError,
    check_scope,
    read_status,
)
from service.shopify.source import Source

log = structlog.get_logger(__name__)

# Bulk mutations that may fail before changes are sent call by call; a failure is one that has made
# less than this share of its changes.
MOST_FAILURES = 2
_WORTHWHILE = 0.5


class _DefinitionGoneError(MetafieldError):
    """A definition was deleted in Shopify while the run wrote."""

    advice = "Somebody deletes it in Shopify while Quintile writes it. Run it again later."


@dataclass(frozen=True)
class Changes:
    """How many customers get values, in how many batches, and how many lose theirs."""

    customers: int
    batches: int
    removals: int


def sync_metafields(settings: Settings, pool: Pool, tenant_id: UUID, progress: Progress) -> None:
    """Bring a store's metafields up to date with the last build; remove them all if turned off.

    Counts in ``progress``: metafield_customers that were set, metafield_removals,
    metafield_refusals, and calls to Shopify.

    Raises:
        NotConnectedError: The tenant has no shop or no access token.
        MissingScopeError: The access token may not write customers.
        MetafieldError: Shopify refuses what a person has to settle.
        ShopifyRefusedError: The token is not accepted; the connection now says so.
        ShopifyError: What was written is recorded; the next run continues.
    """
    with open_connected_shopify(settings, pool, tenant_id) as client:
        source = Source(client, pool, tenant_id, progress)
        try:
            progress.phase("shop")
            check_scope(verify_shopify(settings, pool, tenant_id, client).scopes)
            try:
                _sync(settings, source)
            except ShopifyDeniedError as error:
                # The connection is good, only not for this.
                raise MetafieldError(error.message, advice=error.advice) from None
        finally:
            progress.count(calls=client.calls)


def refresh_scope(settings: Settings, pool: Pool, tenant_id: UUID, *, attempts: int) -> None:
    """Ask Shopify for the token's scopes if it lacked the one for metafields when last asked.

    Raises:
        ShopifyError: As :func:`open_connected_shopify`.
    """
    with tenant_transaction(pool, tenant_id, read_only=True) as conn:
        has_scope = read_status(conn, tenant_id).has_scope
    if has_scope is False:
        with open_connected_shopify(settings, pool, tenant_id, attempts=attempts) as client:
            verify_shopify(settings, pool, tenant_id, client)


def _sync(settings: Settings, source: Source) -> None:
    finish_upload(source, settings.shopify_bulk_patience_seconds)
    if current_config(source).is_enabled:
        ensure_definitions(source)
        try:
            _write_changes(settings, source)
        except _DefinitionGoneError:
            ensure_definitions(source)
            _write_changes(settings, source)
    # It may have been turned off while the run wrote.
    if not current_config(source).is_enabled:
        _write_changes(settings, source)
        config = current_config(source)
        if not config.is_enabled and config.definitions:
            source.progress.phase("metafield definitions")
            delete_definitions(source, config.definitions)


def _write_changes(settings: Settings, source: Source) -> None:
    changes = _plan(source)
    failures = 0
    while changes.customers >= settings.shopify_metafields_bulk_from and failures < MOST_FAILURES:
        batches = min(changes.batches, MOST_BATCHES)
        share = upload_changes(source, batches, settings.shopify_bulk_patience_seconds)
        failures += share < _WORTHWHILE
        changes = _plan(source)
    source.progress.phase("removed metafields", total=changes.removals)
    _send(source, is_removal=True)
    source.progress.phase("metafields", total=changes.customers)
    _send(source, is_removal=False)


def _plan(source: Source) -> Changes:
    """Compare the marts with the ledger.

    Raises:
        MetafieldError: There has been no build yet.
    """
    parameters = {"tenant_id": source.tenant_id}
    with tenant_transaction(source.pool, source.tenant_id) as conn:
        conn.execute(query("shopify.delete_metafield_changes"), parameters)
        conn.execute(query("shopify.forget_deleted_customers"), parameters)
        try:
            conn.execute(query("shopify.fill_metafield_changes"), parameters)
        except (psycopg.errors.UndefinedTable, psycopg.errors.InsufficientPrivilege):
            # The first build makes the marts, and grants their schema to the service.
            raise MetafieldError(
                "RFM segments have not been calculated yet.",
                advice="Recalculate under Segments, or run: quintile build",
            ) from None
        counts = conn.execute(query("shopify.count_metafield_changes"), parameters)
        return Changes(**one(counts.fetchone()))


def _send(source: Source, *, is_removal: bool) -> None:
    """Send batch after batch, each by a call of its own."""
    batch = 0
    while found := source.execute(
        query("shopify.find_next_batch"), is_removal=is_removal, first_batch=batch
    ):
        batch = found[0]["batch"]
        source.execute(
            query("shopify.note_sending"),
            is_removal=is_removal,
            first_batch=batch,
            last_batch=batch,
        )
        (_remove if is_removal else _set)(source, batch)
        batch += 1


def _set(source: Source, batch: int) -> None:
    """Set the metafields of a batch; customers whose values Shopify refuses are left out.

    Raises:
        ShopifyError: As :meth:`ShopifyClient.run`, or Shopify refuses the batch as a whole.
    """
    while changes := _list(source, batch, is_removal=False):
        answer = source.client.run("metafields_set", metafields=metafield_inputs(changes))
        errors = (answer["metafieldsSet"] or {}).get("userErrors") or []
        if not errors:
            _accept(source, batch, changes, is_removal=False)
            source.progress.count(metafield_customers=len(changes))
            source.progress.advance(len(changes))
            return
        refusals = _refusals(changes, errors)
        source.execute(query("shopify.refuse_changes"), refusals=Jsonb(refusals))
        source.progress.count(metafield_refusals=len(refusals))
        source.progress.advance(len(refusals))


def _remove(source: Source, batch: int) -> None:
    _delete(source, batch, _list(source, batch, is_removal=True))


def _delete(source: Source, batch: int, changes: list[dict[str, Any]]) -> None:
    """Delete all metafields of customers; those whose deletion Shopify refuses are left out.

    Which ones is found by halves: its errors have no code, and need not have a position.
    """
    if not changes:
        return
    identifiers = metafield_identifiers(changes)
    answer = source.client.run("metafields_delete", metafields=identifiers)
    errors = (answer["metafieldsDelete"] or {}).get("userErrors") or []
    if not errors:
        _accept(source, batch, changes, is_removal=True)
        source.progress.count(metafield_removals=len(changes))
        source.progress.advance(len(changes))
    elif len(changes) > 1:
        middle = len(changes) // 2
        _delete(source, batch, changes[:middle])
        _delete(source, batch, changes[middle:])
    else:
        refusal = {"customer_id": changes[0]["customer_id"], "reason": _message(errors[0])}
        source.execute(query("shopify.refuse_changes"), refusals=Jsonb([refusal]))
        source.progress.count(metafield_refusals=1)
        source.progress.advance()


def _list(source: Source, batch: int, *, is_removal: bool) -> list[dict[str, Any]]:
    return source.execute(query("shopify.list_batch"), batch=batch, is_removal=is_removal)


def _accept(source: Source, batch: int, changes: list[dict[str, Any]], *, is_removal: bool) -> None:
    source.execute(
        query("shopify.accept_changes"),
        is_removal=is_removal,
        batches=[batch],
        customer_ids=[change["customer_id"] for change in changes],
    )


def _refusals(changes: list[dict[str, Any]], errors: list[Data]) -> list[dict[str, str]]:
    """The customers whose metafields Shopify refuses, each with the reason.

    Raises:
        ShopifyError: What it refuses is not a customer's value.
    """
    owners = [given["ownerId"] for given in metafield_inputs(changes)]
    reasons: dict[str, str] = {}
    for error in errors:
        path = [str(step) for step in error.get("field") or ()]
        message = _message(error)
        if error.get("code") == "INTERNAL_ERROR":
            raise ShopifyUnavailableError(f"Shopify does not set metafields: {message}.")
        if error.get("code") == "APP_NOT_AUTHORIZED":
            # Of each metafield, with its position: not a fault of these customers.
            raise MetafieldError(
                f"Shopify does not let the app set metafields: {message}.",
                advice=f"See who may edit the customer metafields {NAMESPACE}.* in Shopify.",
            )
        if path[-1:] == ["type"]:
            raise _DefinitionGoneError("The definition of a metafield was deleted in Shopify.")
        position = path[1] if len(path) > 1 else ""
        if not position.isdecimal() or int(position) >= len(owners):
            raise MetafieldError(
                f"Shopify does not set metafields: {message}.",
                advice=f"See the customer metafields {NAMESPACE}.* in Shopify.",
            )
        reasons.setdefault(owners[int(position)].rpartition("/")[2], message)
    return [{"customer_id": each, "reason": reason} for each, reason in reasons.items()]


def _message(error: Data) -> str:
    return str(error.get("message") or "it gave no reason").rstrip(".")[:300]
