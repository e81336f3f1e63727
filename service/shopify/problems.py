"""What a shop does not give: fields withheld, and records that could not be read."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

import structlog

from service.core.db import Connection, tenant_transaction
from service.core.queries import query
from service.shopify.errors import (
    ShopifyQueryError,
    ShopifyUnapprovedError,
    ShopifyUnservedError,
)
from service.shopify.resources import CUSTOMERS, ORDERS, Resource
from service.shopify.source import Source
from service.shopify.withheld import describe_withheld

log = structlog.get_logger(__name__)

# Records of a page that shows which fields are withheld.
_PROBED = 10
QUARANTINE_ADVICE = (
    "The other records are up to date. Every sync tries again. If it stays, open the record in"
    " Shopify, or give Shopify's support the id and the reason."
)
_NOUNS = {"segment_member": "segment member"}


@dataclass(frozen=True)
class Problem:
    """Something that a shop does not give: what happened, and what to do."""

    in_words: str
    advice: str


def read_problems(conn: Connection, tenant_id: UUID) -> list[Problem]:
    """What the last syncs could not read of a tenant's shop."""
    parameters = {"tenant_id": tenant_id}
    withheld = conn.execute(query("shopify.list_withheld"), parameters).fetchall()
    quarantined = conn.execute(query("shopify.list_quarantined"), parameters).fetchall()
    problems = []
    if withheld:
        problems.append(Problem(*describe_withheld({row["field"] for row in withheld})))
    for row in quarantined:
        message = describe_quarantine(row["entity"], row["records"], row["last_id"], row["reason"])
        problems.append(Problem(message, QUARANTINE_ADVICE))
    return problems


def describe_quarantine(entity: str, records: int, last_id: str, reason: str) -> str:
    """One sentence about records of a kind that could not be read, and the last one's reason."""
    noun = _NOUNS.get(entity, entity) + ("" if records == 1 else "s")
    which = last_id if records == 1 else f"the last: {last_id}"
    return f"{records:,} {noun} could not be read ({which}): {reason.rstrip('.')}."


def record_withheld(source: Source, *, is_all: bool) -> None:
    """Record the fields that Shopify denied this sync.

    ``is_all`` says whether it has asked for all fields, so that the others are granted.
    """
    withheld = source.client.withheld
    with tenant_transaction(source.pool, source.tenant_id) as conn:
        insert_withheld(conn, source)
        if is_all:
            parameters = {"tenant_id": source.tenant_id, "withheld": list(withheld)}
            conn.execute(query("shopify.delete_granted"), parameters)
    if withheld:
        source.progress.count(withheld_fields=len(withheld))


def insert_withheld(conn: Connection, source: Source) -> None:
    """Record withheld fields, in the transaction that loads records without them."""
    withheld = source.client.withheld
    if withheld:
        parameters = {"fields": list(withheld), "reasons": list(withheld.values())}
        conn.execute(
            query("shopify.record_withheld"), {"tenant_id": source.tenant_id, **parameters}
        )


def rewind_if_granted(source: Source) -> None:
    """Have records read again that were read without fields that Shopify grants by now."""
    with tenant_transaction(source.pool, source.tenant_id, read_only=True) as conn:
        parameters = {"tenant_id": source.tenant_id}
        stored = conn.execute(query("shopify.list_withheld"), parameters).fetchall()
    if not stored or not all(probe(source, each) for each in (CUSTOMERS, ORDERS)):
        return
    if any(row["field"] not in source.client.left_out for row in stored):
        source.execute(query("shopify.rewind_incomplete"))


def probe(source: Source, resource: Resource, search: str | None = None) -> bool:
    """Find out which fields of a resource are withheld; False if Shopify does not say.

    Raises:
        ShopifyError: The shop cannot be read.
    """
    try:
        source.client.run(resource.name, attempts=1, first=_PROBED, after=None, query=search)
    except (ShopifyQueryError, ShopifyUnapprovedError, ShopifyUnservedError) as error:
        log.info("not known which fields are withheld", reason=error.message)
        return False
    return True
