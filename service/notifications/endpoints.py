"""Endpoints: addresses that receive outgoing webhooks, and the secrets that sign these."""

from __future__ import annotations

import base64
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal
from uuid import UUID

from service.core.config import Settings
from service.core.db import Connection, one
from service.core.errors import InvalidInputError
from service.core.queries import query
from service.core.vault import seal, unseal
from service.notifications.address import check_url
from service.notifications.events import collect
from service.notifications.topics import TOPICS, Topic
from service.segments.find import find_segment
from service.segments.ids import parse_segment_id

# The provider to which the seals of secrets are bound.
_PROVIDER = "notifications"
SECRET_PREFIX = "whsec_"  # noqa: S105 - how Standard Webhooks marks a secret, not one itself
_SECRET_BYTES = 32
_SHOWN_CHARACTERS = 4
# Each endpoint costs deliveries of every event.
MAX_ENDPOINTS = 20

DisabledReason = Literal["person", "gone", "failing"]


class Unchanged:
    """The type of :data:`UNCHANGED`, where None has a meaning of its own."""


UNCHANGED = Unchanged()


@dataclass(frozen=True)
class Endpoint:
    """Where to send messages, and the secrets that sign them, the current one first."""

    url: str
    secrets: tuple[str, ...]


def find_endpoint(conn: Connection, tenant_id: UUID, endpoint_id: UUID) -> dict[str, Any] | None:
    """One of the tenant's endpoints, without its secrets."""
    parameters = {
        "tenant_id": tenant_id,
        "endpoint_id": endpoint_id,
        "after_created_at": None,
        "after_endpoint_id": None,
        "row_limit": 1,
    }
    return conn.execute(query("notifications.list_endpoints"), parameters).fetchone()


def add_endpoint(
    settings: Settings,
    conn: Connection,
    tenant_id: UUID,
    url: str,
    topics: Sequence[Topic],
    segments: Sequence[str] | None = None,
) -> tuple[UUID, str]:
    """Add an endpoint, which receives what happens from now on; returns its id and its secret.

    Of changes of segments, it receives those of ``segments`` (ids), or all if that is None.

    Raises:
        InvalidInputError: The URL is not valid or not allowed, there is no topic, a segment does
            not exist, or the tenant has too many endpoints.
    """
    parameters = {
        "tenant_id": tenant_id,
        "url": _checked_url(settings, url),
        "topics": _in_order(topics),
        "segment_ids": _checked_segments(conn, tenant_id, segments),
        "max_endpoints": MAX_ENDPOINTS,
    }
    # What happened before is for the other endpoints only. This also locks out other additions.
    collect(conn, tenant_id, waits_for_build=False)
    added = conn.execute(query("notifications.insert_endpoint"), parameters).fetchone()
    if added is None:
        raise InvalidInputError(
            f"There are {MAX_ENDPOINTS} endpoints, as many as there can be.",
            advice="Delete one, or add the topics to one that exists.",
        )
    endpoint_id: UUID = added["endpoint_id"]
    return endpoint_id, _add_secret(settings, conn, tenant_id, endpoint_id)


def change_endpoint(
    settings: Settings,
    conn: Connection,
    tenant_id: UUID,
    endpoint_id: UUID,
    *,
    url: str | None = None,
    topics: Sequence[Topic] | None = None,
    is_enabled: bool | None = None,
    segments: Sequence[str] | Unchanged | None = UNCHANGED,
) -> None:
    """Change what is given; None lets ``segments`` be all of them.

    An endpoint that is enabled again receives what happens from then on.
    Another URL counts as another receiver, which is notified of lists that fail already.

    Raises:
        InvalidInputError: The URL is not valid or not allowed, there is no topic, or a segment does
            not exist.
    """
    parameters = {
        "tenant_id": tenant_id,
        "endpoint_id": endpoint_id,
        "url": None if url is None else _checked_url(settings, url),
        "topics": None if topics is None else _in_order(topics),
        "sets_segments": not isinstance(segments, Unchanged),
        "segment_ids": None
        if isinstance(segments, Unchanged)
        else _checked_segments(conn, tenant_id, segments),
    }
    collect(conn, tenant_id, waits_for_build=False)
    conn.execute(query("notifications.delete_sync_states_of_other_url"), parameters)
    conn.execute(query("notifications.update_endpoint"), parameters)
    if is_enabled:
        # A transaction that began before it was disabled may have stored messages for it since.
        conn.execute(query("notifications.give_up_former_deliveries"), parameters)
        conn.execute(query("notifications.enable_endpoint"), parameters)
    elif is_enabled is not None:
        disable_endpoint(conn, tenant_id, endpoint_id, "person")


def disable_endpoint(
    conn: Connection, tenant_id: UUID, endpoint_id: UUID, reason: DisabledReason
) -> None:
    """Send nothing more to an endpoint; what waits is given up. One that is disabled stays so."""
    parameters = {"tenant_id": tenant_id, "endpoint_id": endpoint_id, "reason": reason}
    if conn.execute(query("notifications.disable_endpoint"), parameters).fetchone() is not None:
        conn.execute(query("notifications.give_up_deliveries"), parameters)


def delete_endpoint(conn: Connection, tenant_id: UUID, endpoint_id: UUID) -> None:
    """Delete an endpoint with its secrets and its log."""
    parameters = {"tenant_id": tenant_id, "endpoint_id": endpoint_id}
    conn.execute(query("notifications.delete_endpoint"), parameters)


def rotate_secret(
    settings: Settings, conn: Connection, tenant_id: UUID, endpoint_id: UUID, *, keep_hours: int
) -> str:
    """Replace an endpoint's secret; returns the new one.

    For ``keep_hours``, messages are signed with the former secret, too. Secrets that were already
    former ones expire no later than it, and no later than before.
    """
    parameters = {"tenant_id": tenant_id, "endpoint_id": endpoint_id, "keep_hours": keep_hours}
    conn.execute(query("notifications.expire_secret"), parameters)
    return _add_secret(settings, conn, tenant_id, endpoint_id)


def open_endpoint(
    settings: Settings, conn: Connection, tenant_id: UUID, endpoint_id: UUID
) -> Endpoint:
    """The endpoint with its secrets that have not expired, for sending only.

    Raises:
        SealBrokenError: A secret cannot be opened with the current keys.
    """
    parameters = {"tenant_id": tenant_id, "endpoint_id": endpoint_id}
    rows = conn.execute(query("notifications.list_secrets"), parameters).fetchall()
    secrets = tuple(unseal(settings, tenant_id, _PROVIDER, row) for row in rows)
    return Endpoint(one(rows[0] if rows else None)["url"], secrets)


def _add_secret(settings: Settings, conn: Connection, tenant_id: UUID, endpoint_id: UUID) -> str:
    secret = SECRET_PREFIX + base64.b64encode(os.urandom(_SECRET_BYTES)).decode()
    conn.execute(
        query("notifications.insert_secret"),
        {
            "tenant_id": tenant_id,
            "endpoint_id": endpoint_id,
            **seal(settings, tenant_id, _PROVIDER, secret),
            "last_four": secret[-_SHOWN_CHARACTERS:],
        },
    )
    return secret


def _checked_url(settings: Settings, url: str) -> str:
    return check_url(url, may_be_private=bool(settings.notify_private_addresses))


def _checked_segments(
    conn: Connection, tenant_id: UUID, segments: Sequence[str] | None
) -> list[str] | None:
    if segments is None:
        return None
    for text in segments:
        segment = parse_segment_id(text, field="segments")
        found = find_segment(conn, tenant_id, segment)
        if found is None or not found.is_listed:
            raise InvalidInputError(
                f"There is no segment {text} whose changes are recorded.",
                advice="Choose one from the list of segments.",
                field="segments",
            )
    return sorted(set(segments))


def _in_order(topics: Sequence[Topic]) -> list[Topic]:
    if not topics:
        raise InvalidInputError("Choose at least one topic.", field="topics")
    return [topic for topic in TOPICS if topic in topics]
