"""The bodies of messages, built from a delivery's ids and ranges when it is sent.

They name customers, profiles, orders and segments by their ids and hold no personal data. ``text``
is a sentence, which chat systems show.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from service.core.db import Connection
from service.core.queries import query
from service.notifications.events import is_built
from service.notifications.topics import TEST

# Errors may quote a customer's address.
_ADDRESS = re.compile(r"""[^\s@<>()\[\]{}",;:='][^\s@<>()\[\]{}",;:=]*@[\w.-]*\w""")

Row = Mapping[str, Any]


def build_payload(conn: Connection, delivery: Row) -> dict[str, Any] | None:
    """The body of a message, or None if what it was about no longer exists.

    Args:
        conn: A transaction of the tenant.
        delivery: As the statement ``find_next_delivery`` returns it.
    """
    described = _describe(conn, delivery)
    if described is None:
        return None
    text, data = described
    return {
        "id": str(delivery["delivery_id"]),
        "type": delivery["topic"],
        "timestamp": _instant(delivery["occurred_at"]),
        "text": text,
        "data": {"tenant": delivery["tenant"], **data},
    }


def _describe(conn: Connection, delivery: Row) -> tuple[str, dict[str, Any]] | None:
    """The sentence and the data of a message."""
    topic: str = delivery["topic"]
    if topic == TEST:
        return f"Webhooks of {delivery['tenant']} arrive here.", {}
    if topic == "build.completed":
        return _describe_build(conn, delivery)
    if topic.startswith("segment."):
        return _describe_segments(conn, delivery)
    if topic.startswith("sample."):
        return _describe_samples(conn, delivery)
    return _describe_sync(conn, delivery)


def _describe_segments(conn: Connection, delivery: Row) -> tuple[str, dict[str, Any]] | None:
    has_entered = delivery["topic"] == "segment.customer_entered"
    rows = _list_changes(conn, {**delivery, "has_entered": has_entered})
    if not rows:
        return None
    is_list = delivery["source"] == "klaviyo"
    ids = ("customer_id", "profile_id") if is_list else ("customer_id",)
    other = "previous_segment_id" if has_entered else "next_segment_id"
    changes = [
        {
            **{name: row[name] for name in ids},
            "segment_id": row["segment_id"],
            "changed_at": _instant(row["changed_at"]),
            other: row["other_segment_id"],
        }
        for row in rows
    ]
    who, what = ("profile", "Klaviyo list") if is_list else ("customer", "segment")
    verb = "entered" if has_entered else "left"
    return (
        f"{delivery['tenant']}: {_count(len(rows), who)} {verb} a {what}.",
        {"source": delivery["source"], **_batch(delivery), "changes": changes},
    )


def _list_changes(conn: Connection, parameters: dict[str, Any]) -> list[dict[str, Any]]:
    """The changes of one message."""
    if parameters["source"] == "rfm":
        return conn.execute(query("notifications.list_rfm_changes"), parameters).fetchall()
    if parameters["source"] == "shopify":
        return conn.execute(query("notifications.list_shopify_changes"), parameters).fetchall()
    rows = conn.execute(query("notifications.list_klaviyo_changes"), parameters).fetchall()
    emails = [row["email"] for row in rows if row["email"] is not None]
    customers = _find_customers(conn, {**parameters, "emails": emails})
    return [{**row, "customer_id": customers.get(row["email"])} for row in rows]


def _find_customers(conn: Connection, parameters: dict[str, Any]) -> dict[str, str]:
    """Ids of customers by their addresses, as of the last build."""
    if not is_built(conn):
        return {}
    found = conn.execute(query("notifications.find_customers_by_email"), parameters)
    return {row["email"]: row["customer_id"] for row in found.fetchall()}


def _describe_samples(conn: Connection, delivery: Row) -> tuple[str, dict[str, Any]] | None:
    is_found = delivery["topic"] == "sample.found"
    rows = conn.execute(
        query("notifications.list_samples"), {**delivery, "is_found": is_found}
    ).fetchall()
    if not rows:
        return None
    samples = [{**row, "ordered_at": _instant(row["ordered_at"])} for row in rows]
    verb = "found" if is_found else "fulfilled"
    return (
        f"{delivery['tenant']}: {_count(len(rows), 'sample')} {verb}.",
        {**_batch(delivery), "samples": samples},
    )


def _describe_build(conn: Connection, delivery: Row) -> tuple[str, dict[str, Any]] | None:
    row = conn.execute(query("notifications.find_build"), delivery).fetchone()
    if row is None:
        return None
    times = {name: _instant(row[name]) for name in ("started_at", "finished_at")}
    return (
        f"{delivery['tenant']}: segments and samples have been calculated.",
        {
            "is_replay": delivery["is_replay"],
            "run": {"run_id": str(row["run_id"]), "trigger": row["trigger"], **times},
        },
    )


def _describe_sync(conn: Connection, delivery: Row) -> tuple[str, dict[str, Any]] | None:
    row = conn.execute(query("notifications.find_sync"), delivery).fetchone()
    if row is None:
        return None
    error, advice = _without_addresses(row["run_error"]), _without_addresses(row["advice"])
    what = f"{delivery['tenant']}: Klaviyo list '{row['list_name']}' ({row['segment_key']})"
    if delivery["topic"] == "klaviyo_sync.recovered":
        text = f"{what} is in sync again."
    else:
        text = f"{what} is out of sync. {error or 'The sync failed.'} {advice or ''}".strip()
    return (
        text,
        {
            "configuration": {
                "config_id": str(row["config_id"]),
                **{
                    name: row[name] for name in ("segment_key", "list_id", "list_name", "direction")
                },
            },
            "run": {
                "run_id": str(row["run_id"]),
                **{name: row[name] for name in ("run_state", "stopped_for")},
                "run_error": error,
                "advice": advice,
                "counts": row["counts"],
                "finished_at": _instant(row["finished_at"]),
            },
        },
    )


def _without_addresses(text: str | None) -> str | None:
    """A text with its e-mail addresses replaced."""
    return None if text is None else _ADDRESS.sub("[e-mail address]", text)


def _batch(delivery: Row) -> dict[str, Any]:
    return {name: delivery[name] for name in ("batch", "batches", "is_replay")}


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _instant(at: datetime | None) -> str | None:
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z") if at else None
