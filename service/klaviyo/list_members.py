"""What is on a list: who has joined, at every sync; everybody, when a full reading is due.

Klaviyo tells who joined since when, but of departures nothing: only whoever is missing from a full
reading has left. A reading is set down in a spool while Klaviyo is asked, and lands in one short
transaction afterwards.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from service.core.config import Settings
from service.core.db import Connection, Pool, one, tenant_transaction
from service.core.queries import query
from service.core.spool import Row, Spool, open_spool
from service.klaviyo.account import read_list_name
from service.klaviyo.client import KlaviyoClient, Resource
from service.queue.schedules import is_due

_LIST_PROFILES = "/api/lists/{id}/profiles"
_FIELDS = "email,subscriptions"
_SUPPRESSED_AT = "subscriptions.email.marketing.suppression.timestamp"
_BEFORE_ALL = datetime(2000, 1, 1, tzinfo=UTC)
# No list of Klaviyo's has such an id.
SUPPRESSED = "-suppressed"
# How much of what was read before is read again: joins do not appear in the order of their times.
_OVERLAP = timedelta(minutes=5)


@dataclass(frozen=True)
class Reading:
    """What has been read of a list: profile id, address, when it joined, whether suppressed.

    ``full_read_at`` is when the reading began, by the database's clock, if it was of everybody;
    then the list's name was asked for, too: people rename lists.
    """

    list_id: str
    list_name: str | None
    rows: Spool
    full_read_at: datetime | None


class Readings:
    """The lists one run has read: each once, however many configurations need it.

    They land once too. A second time would bring back whom the run has taken off meanwhile.
    """

    def __init__(
        self,
        settings: Settings,
        client: KlaviyoClient,
        pool: Pool,
        tenant_id: UUID,
        spools: ExitStack,
    ) -> None:
        self._settings = settings
        self._client = client
        self._pool = pool
        self._tenant_id = tenant_id
        self._spools = spools
        self._read: dict[str, Reading] = {}
        self._landed: set[str] = set()

    def read_suppressed(self) -> None:
        """Read whom Klaviyo sends nothing, whichever lists they are on: as a list, ``SUPPRESSED``.

        Raises:
            KlaviyoError: They cannot be read.
        """
        self._read_unless_read(SUPPRESSED, "Suppressed profiles", _suppressed)

    def read(self, list_id: str) -> None:
        """Read a list from Klaviyo, unless this run has done so.

        Raises:
            KlaviyoError: With status 404: there is no such list.
        """
        self._read_unless_read(list_id, None, _profiles)

    def _read_unless_read(
        self,
        list_id: str,
        list_name: str | None,
        profiles: Callable[[KlaviyoClient, str, datetime | None], Iterator[Resource]],
    ) -> None:
        if list_id in self._read:
            return
        with tenant_transaction(self._pool, self._tenant_id, read_only=True) as conn:
            state = one(
                conn.execute(
                    query("destinations.read_list_state"),
                    {"tenant_id": self._tenant_id, "list_id": list_id},
                ).fetchone()
            )
            since = state["joins_read_to"]
            if is_full_reading_due(conn, self._settings, self._tenant_id, state["full_read_at"]):
                since = None
        if list_name is None and since is None:
            list_name = read_list_name(self._client, list_id)
        spool = self._spools.enter_context(open_spool())
        for profile in profiles(self._client, list_id, since):
            spool.append(_row(profile))
        full_read_at = state["read_at"] if since is None else None
        self._read[list_id] = Reading(list_id, list_name, spool, full_read_at)

    @contextmanager
    def landing(self, conn: Connection, *list_ids: str) -> Iterator[None]:
        """Land what was read of these lists in a transaction; it counts as landed with its end.

        Who has joined and left since the reading before is in ``pg_temp.klaviyo_landed``.
        """
        conn.execute(query("destinations.create_reading"))
        conn.execute(query("destinations.create_landed"))
        landing = [each for each in list_ids if each not in self._landed]
        for list_id in landing:
            _load(conn, self._tenant_id, self._read[list_id])
        yield
        self._landed.update(landing)


def is_full_reading_due(
    conn: Connection, settings: Settings, tenant_id: UUID, full_read_at: datetime | None
) -> bool:
    """Whether everybody on a list is to be read: for the first time, or as the schedule has it."""
    if full_read_at is None:
        return True
    return is_due(conn, settings, tenant_id, "klaviyo_members", full_read_at)


def _profiles(client: KlaviyoClient, list_id: str, since: datetime | None) -> Iterator[Resource]:
    parameters: dict[str, str | int] = {
        "additional-fields[profile]": "subscriptions",
        "fields[profile]": f"{_FIELDS},joined_group_at",
        "page[size]": 100,
        "sort": "joined_group_at",
    }
    if since is not None:
        parameters["filter"] = f"greater-or-equal(joined_group_at,{_start(since)})"
    for page in client.pages(_LIST_PROFILES, f"/api/lists/{list_id}/profiles", parameters):
        yield from page


def _suppressed(client: KlaviyoClient, _: str, since: datetime | None) -> Iterator[Resource]:
    """Profiles that have been suppressed since; they have joined when they were."""
    start = _start(since or _BEFORE_ALL)
    parameters: dict[str, str | int] = {
        "additional-fields[profile]": "subscriptions",
        "fields[profile]": _FIELDS,
        "page[size]": 100,
        "sort": _SUPPRESSED_AT,
        "filter": f"greater-or-equal({_SUPPRESSED_AT},{start})",
    }
    for page in client.pages("/api/profiles", "/api/profiles", parameters):
        for profile in page:
            times = [each["timestamp"] for each in _suppressions(profile)]
            profile["attributes"]["joined_group_at"] = max(times, default=None)
            yield profile


def _start(since: datetime) -> str:
    return (since - _OVERLAP).astimezone(UTC).isoformat(timespec="microseconds")


def _suppressions(profile: Resource) -> list[dict[str, Any]]:
    subscriptions = profile["attributes"].get("subscriptions") or {}
    marketing = (subscriptions.get("email") or {}).get("marketing") or {}
    return list(marketing.get("suppression") or [])


def _row(profile: Resource) -> Row:
    attributes = profile["attributes"]
    return (
        str(profile["id"]),
        attributes.get("email"),
        attributes.get("joined_group_at"),
        "true" if _suppressions(profile) else "false",
    )


def _load(conn: Connection, tenant_id: UUID, reading: Reading) -> None:
    conn.execute("truncate pg_temp.klaviyo_reading")
    with conn.cursor().copy(query("destinations.copy_reading")) as copy:
        for row in reading.rows:
            copy.write_row(row)
    conn.execute("analyze pg_temp.klaviyo_reading")
    parameters = {
        "tenant_id": tenant_id,
        "list_id": reading.list_id,
        "list_name": reading.list_name,
        "full_read_at": reading.full_read_at,
        "is_full": reading.full_read_at is not None,
    }
    conn.execute(query("destinations.record_list"), parameters)
    conn.execute(query("destinations.rename_list"), parameters)
    conn.execute(query("destinations.load_reading"), parameters)
