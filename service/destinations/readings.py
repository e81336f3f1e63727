"""Reading lists: who has joined, at every sync; all profiles, when a full read is due.

A destination tells who joined since when but not who left: only a profile that is missing from a
full read has left. Its dates may be wrong: they only save reading, and decide nothing about who is
on a list or why. What is read waits in a spool and is loaded in one short transaction.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from service.core.config import Settings
from service.core.db import Connection, Pool, one, tenant_transaction
from service.core.queries import query
from service.core.spool import Spool, open_spool
from service.destinations.interface import Destination
from service.queue.schedules import is_due

# The id under which suppressed profiles are kept, as if they were a list.
SUPPRESSED = "-suppressed"


class _Reading(NamedTuple):
    """What was read of a list; ``read_at`` is when the read began, by the database.

    ``is_first``: it was never read before.
    """

    list_name: str | None
    profiles: Spool
    read_at: datetime
    is_full: bool
    is_first: bool


@dataclass
class Readings:
    """The lists that one run has read.

    Each list is read and loaded once, however many configurations need it. Loading it again would
    bring back people that the run has removed since.
    """

    settings: Settings
    destination: Destination
    pool: Pool
    tenant_id: UUID
    spools: ExitStack
    _read: dict[str, _Reading] = field(default_factory=dict)
    _loaded: set[str] = field(default_factory=set)

    def read(self, list_id: str) -> None:
        """Read a list, or the suppressed profiles (:data:`SUPPRESSED`), if this run has not yet.

        A full read reads the list's name as well, because lists are renamed.

        Raises:
            ListNotFoundError: There is no such list.
            DestinationError: It cannot be read.
        """
        if list_id in self._read:
            return
        state, since = self._find_state(list_id)
        if list_id == SUPPRESSED:
            name: str | None = "Suppressed profiles"
            profiles = self.destination.read_suppressed(since)
        else:
            name = None if since else self.destination.read_list_name(list_id)
            profiles = self.destination.read_members(list_id, since)
        spool = self.spools.enter_context(open_spool())
        for profile in profiles:
            spool.append((*profile[:3], "true" if profile.is_suppressed else "false"))
        self._read[list_id] = _Reading(
            name,
            spool,
            state["read_at"],
            is_full=since is None,
            is_first=state["is_first"],
        )

    def is_full(self, list_id: str) -> bool:
        """Whether this run has read all of a list, so that no member is unknown."""
        return self._read[list_id].is_full

    def read_at(self, list_id: str) -> datetime:
        """When this run began to read a list, by the database."""
        return self._read[list_id].read_at

    def _find_state(self, list_id: str) -> tuple[dict[str, Any], datetime | None]:
        """How far a list has been read, and since when to read it now; None for all of it."""
        parameters = {"tenant_id": self.tenant_id, "list_id": list_id}
        with tenant_transaction(self.pool, self.tenant_id, read_only=True) as conn:
            found = conn.execute(query("destinations.read_list_state"), parameters).fetchone()
            state = one(found)
            if is_full_read_due(conn, self.settings, self.tenant_id, state["full_read_at"]):
                return state, None
        return state, state["joins_read_to"]

    @contextmanager
    def loading(self, conn: Connection, *list_ids: str) -> Iterator[None]:
        """Load what was read of these lists in a transaction; it counts as loaded at its end.

        Who has joined and left since the last read is in ``pg_temp.sync_changes``.
        """
        conn.execute(query("destinations.create_reading"))
        conn.execute(query("destinations.create_changes"))
        loading = [each for each in list_ids if each not in self._loaded]
        for list_id in loading:
            self._load(conn, list_id)
        yield
        self._loaded.update(loading)

    def _load(self, conn: Connection, list_id: str) -> None:
        reading = self._read[list_id]
        conn.execute("truncate pg_temp.sync_reading")
        with conn.cursor().copy(query("destinations.copy_reading")) as copy:
            for row in reading.profiles:
                copy.write_row(row)
        conn.execute("analyze pg_temp.sync_reading")
        parameters = {
            "tenant_id": self.tenant_id,
            "list_id": list_id,
            "list_name": reading.list_name,
            "read_at": reading.read_at,
            "is_full": reading.is_full,
            "is_first": reading.is_first,
        }
        conn.execute(query("destinations.record_list"), parameters)
        conn.execute(query("destinations.rename_list"), parameters)
        conn.execute(query("destinations.load_reading"), parameters)


def is_full_read_due(
    conn: Connection, settings: Settings, tenant_id: UUID, full_read_at: datetime | None
) -> bool:
    """Whether all profiles of a list are to be read: the first time, and by the schedule."""
    if full_read_at is None:
        return True
    return is_due(conn, settings, tenant_id, "klaviyo_members", full_read_at)
