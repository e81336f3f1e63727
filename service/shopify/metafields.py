"""RFM in customer metafields of the store: turned on and off, and how it stands.

A metafield whose definition is filterable can be used in the store's own segments, and so in its
discounts and Flow: https://help.shopify.com/manual/customers/customer-segmentation. The namespace
is the merchant's, not an app's: those of an app are documented for no segment query.
:mod:`service.shopify.metafield_sync` writes the values.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Any, Literal
from uuid import UUID

from service.core.credentials import MissingScopeError, missing_scopes_message, not_connected
from service.core.db import Connection, one
from service.core.queries import query
from service.queue.enqueue import enqueue
from service.queue.runs import Trigger
from service.shopify.errors import ShopifyError
from service.shopify.problems import Problem
from service.shopify.scopes import METAFIELDS_SCOPE, OPTIONAL_SCOPES, is_granted
from service.tenants.segment_rules import read_labels

NAMESPACE = "quintile"

MetafieldsState = Literal["off", "on", "removing"]


@dataclass(frozen=True)
class Metafield:
    """A metafield: its key in the namespace, its name and type in Shopify, and what it holds."""

    key: str
    name: str
    type: str
    description: str


# By column of the ledger. Shopify filters customers by texts and integers, among others.
FIELDS: Mapping[str, Metafield] = MappingProxyType(
    {
        "segment": Metafield(
            "rfm_segment",
            "RFM segment",
            "single_line_text_field",
            "The customer's RFM segment, written by Quintile after each build.",
        ),
        "r_score": Metafield(
            "rfm_recency",
            "RFM recency score",
            "number_integer",
            "1 to 5, 5 for those who ordered last. Written by Quintile after each build.",
        ),
        "f_score": Metafield(
            "rfm_frequency",
            "RFM frequency score",
            "number_integer",
            "1 to 5, 5 for those who order most often. Written by Quintile after each build.",
        ),
        "m_score": Metafield(
            "rfm_monetary",
            "RFM monetary score",
            "number_integer",
            "1 to 5, 5 for those who spend most. Written by Quintile after each build.",
        ),
    }
)


class MetafieldError(ShopifyError):
    """Shopify refused something about metafields that a person has to settle."""


@dataclass(frozen=True)
class Config:
    """A tenant's choice, and the bulk mutation that is under way.

    ``definitions`` has the ids of the definitions in the store, by key.
    """

    is_enabled: bool
    definitions: Mapping[str, str]
    changed_at: datetime | None = None
    changed_by: str | None = None
    upload_id: UUID | None = None
    upload_batches: int = 0
    operation_id: str | None = None


@dataclass(frozen=True)
class SegmentQuery:
    """What to paste into Shopify's segment editor to get an RFM segment."""

    segment: str
    label: str
    query: str


@dataclass(frozen=True)
class Status:
    """How a tenant's metafields stand.

    ``written`` customers have metafields in the store, changes of ``pending`` ones have still to be
    made, and those of ``refused`` ones were refused, as ``refusals`` says by reason. ``has_scope``
    is None while the store is not connected. With ``is_token_refused`` no run is queued.
    ``last_run`` is a row of app.runs.
    """

    config: Config
    state: MetafieldsState
    has_scope: bool | None
    is_token_refused: bool
    written: int
    pending: int
    refused: int
    refusals: list[dict[str, Any]]
    queries: list[SegmentQuery]
    last_run: dict[str, Any] | None


def read_config(conn: Connection, tenant_id: UUID) -> Config:
    """A tenant's choice; off if it has never made one."""
    row = conn.execute(query("shopify.find_metafields"), {"tenant_id": tenant_id}).fetchone()
    return Config(is_enabled=False, definitions={}) if row is None else Config(**row)


def read_status(conn: Connection, tenant_id: UUID) -> Status:
    """How a tenant's metafields stand, without a call to Shopify."""
    parameters = {"tenant_id": tenant_id}
    config = read_config(conn, tenant_id)
    counts = one(conn.execute(query("shopify.count_metafields"), parameters).fetchone())
    state: MetafieldsState = "on" if config.is_enabled else "off"
    if state == "off" and (config.definitions or counts["written"]):
        state = "removing"
    granted = conn.execute(query("shopify.find_granted_scopes"), parameters).fetchone()
    return Status(
        config=config,
        state=state,
        has_scope=None if granted is None else is_granted(METAFIELDS_SCOPE, granted["scopes"]),
        is_token_refused=granted is not None and granted["is_refused"],
        refusals=conn.execute(query("shopify.list_metafield_refusals"), parameters).fetchall(),
        queries=segment_queries(conn, tenant_id),
        last_run=conn.execute(query("shopify.find_metafields_run"), parameters).fetchone(),
        **counts,
    )


def describe_problem(status: Status) -> Problem | None:
    """What keeps a tenant's metafields from being up to date; None if nothing does."""
    run = status.last_run
    if status.state == "off":
        return None
    what = "written" if status.state == "on" else "removed"
    if status.is_token_refused:
        return Problem(
            f"RFM metafields cannot be {what}: Shopify refuses the access token.",
            "Connect the store again with a new access token.",
        )
    if status.has_scope is None:
        return Problem(
            f"RFM metafields cannot be {what}: the store is not connected.",
            "Connect the store again. To leave what was written in the store, turn metafields off"
            " and keep the values.",
        )
    if not status.has_scope:
        error = _missing_scope()
        return Problem(error.message, error.advice)
    if run is not None and run["error"] is not None:
        return Problem(run["error"], run["advice"] or "See the log for this run's id.")
    return None


def segment_queries(conn: Connection, tenant_id: UUID) -> list[SegmentQuery]:
    """A query for Shopify's segment editor for each of the tenant's RFM segments."""
    field = f"metafields.{NAMESPACE}.{FIELDS['segment'].key}"
    return [
        SegmentQuery(segment, label, f"{field} = '{segment}'")
        for segment, label in read_labels(conn, tenant_id).items()
    ]


def auditable(status: Status) -> dict[str, Any]:
    """Whether metafields are on, as the audit log has it."""
    return {"is_enabled": status.config.is_enabled, "state": status.state}


def turn_on(conn: Connection, tenant_id: UUID, by: str) -> bool:
    """Have segments and scores written to metafields from now on; whether that is a change.

    Raises:
        NotConnectedError: The tenant's store is not connected.
        MissingScopeError: The access token may not write customers.
    """
    granted = conn.execute(
        query("shopify.find_granted_scopes"), {"tenant_id": tenant_id}
    ).fetchone()
    if granted is None:
        raise not_connected("shopify")
    check_scope(granted["scopes"])
    return _switch(conn, tenant_id, by, is_enabled=True)


def turn_off(conn: Connection, tenant_id: UUID, by: str, *, keep_values: bool = False) -> bool:
    """Have all metafields removed from the store, with their definitions; whether anything changes.

    With ``keep_values`` they stay in the store as they are, and Quintile forgets them: the way out
    where the store can no longer be asked.
    """
    is_changed = _switch(conn, tenant_id, by, is_enabled=False)
    if keep_values:
        conn.execute(query("shopify.forget_all_metafields"), {"tenant_id": tenant_id})
    return is_changed


def queue_metafields(
    conn: Connection, tenant_id: UUID, trigger: Trigger = "schedule"
) -> dict[str, Any] | None:
    """Queue a run that writes the changes, or removes all that was written; the run's row.

    None if there is nothing to do: metafields are off and none is left, or the store cannot be
    asked now.
    """
    found = conn.execute(query("shopify.find_metafields_to_sync"), {"tenant_id": tenant_id})
    if found.fetchone() is None:
        return None
    return enqueue(conn, tenant_id, "metafields_sync", trigger, behind_running=True)


def rewrite(conn: Connection, tenant_id: UUID) -> None:
    """Have every value written again, for example after some were edited in Shopify."""
    parameters = {"tenant_id": tenant_id, "columns": list(FIELDS)}
    conn.execute(query("shopify.forget_metafields"), parameters)
    conn.execute(query("shopify.forget_refusals"), parameters)


def retry_refused(conn: Connection, tenant_id: UUID) -> None:
    """Let the next run try refused changes again at once, instead of after a day."""
    conn.execute(query("shopify.forget_refusals"), {"tenant_id": tenant_id})


def check_scope(scopes: list[str] | frozenset[str]) -> None:
    """Check that a token may write metafields of customers.

    Raises:
        MissingScopeError: It may not.
    """
    if not is_granted(METAFIELDS_SCOPE, scopes):
        raise _missing_scope()


def _missing_scope() -> MissingScopeError:
    purpose = {METAFIELDS_SCOPE: OPTIONAL_SCOPES[METAFIELDS_SCOPE]}
    return MissingScopeError(
        missing_scopes_message("access token", purpose),
        advice="Give the app this Admin API scope in Shopify, then verify the connection. If the"
        " app got a new token with it, connect the store again.",
        field="is_enabled",
    )


def _switch(conn: Connection, tenant_id: UUID, by: str, *, is_enabled: bool) -> bool:
    parameters = {"tenant_id": tenant_id, "is_enabled": is_enabled, "changed_by": by}
    return conn.execute(query("shopify.switch_metafields"), parameters).fetchone() is not None
