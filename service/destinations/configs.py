"""Configurations: which segment is synced with which list, in which direction, what pauses it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, cast
from uuid import UUID

from service.core.db import Connection, one
from service.core.errors import InvalidInputError, QuintileError
from service.core.queries import query
from service.segments.find import find_segment
from service.segments.ids import parse_segment_id
from service.tenants import segment_rules

Direction = Literal["push", "pull", "bidirectional"]
PausedBy = Literal["person", "sync", "key"]

# The directions in messages.
_DIRECTIONS = {"push": "push", "pull": "pull", "bidirectional": "two-way"}
# The statement's parameters of a page.
_ALL_ROWS: dict[str, None] = dict.fromkeys(("after_created_at", "after_config_id", "row_limit"))


class UnknownConfigError(InvalidInputError):
    """There is no such configuration."""


class SyncCancelledError(QuintileError):
    """The configuration was paused or deleted during its sync; changes made so far are kept."""


class ConfigConflictError(InvalidInputError):
    """The configuration conflicts with another one."""


@dataclass(frozen=True)
class NewConfig:
    """A segment and a list to sync.

    ``segment_key`` is ``rfm:<segment>``, ``shopify:<segment id>`` or ``klaviyo:<list id>``, a list
    that is pulled. A pull has the key of its own list.
    """

    segment_key: str
    list_id: str
    list_name: str
    direction: Direction = "push"
    is_scheduled: bool = True
    fires_flows_on_first_sync: bool = False
    sends_events: bool = False


@dataclass(frozen=True)
class ConfigChange:
    """What to change of a configuration; None leaves it as it is."""

    direction: Direction | None = None
    is_scheduled: bool | None = None
    fires_flows_on_first_sync: bool | None = None
    sends_events: bool | None = None
    is_paused: bool | None = None


@dataclass(frozen=True)
class PausedList:
    """A configuration that a sync or a refused key has paused."""

    segment_key: str
    list_id: str
    list_name: str
    paused_by: PausedBy
    paused_reason: str

    def message(self) -> str:
        """What happened, in a sentence or two."""
        return (
            f"list '{self.list_name}', fed by {self.segment_key}, is paused. {self.paused_reason}"
        )

    def advice(self, tenant: str) -> str:
        """The commands that end the pause."""
        if self.paused_by == "key":
            return f"Connect with a valid key: quintile tenants connect-klaviyo {tenant}"
        return (
            "Map another list or segment, or this one again when it is back: "
            f"quintile tenants map-list {tenant} --segment KEY --list ID. To stop syncing it: "
            f"quintile tenants unmap-list {tenant} --segment {self.segment_key} "
            f"--list {self.list_id}"
        )


@dataclass(frozen=True)
class StoppedList:
    """A configuration whose last sync stopped and waits for a person's approval."""

    config_id: UUID
    list_name: str
    stopped_for: str
    reason: str
    what_to_do: str

    def message(self) -> str:
        """What happened, in a sentence or two."""
        return f"list '{self.list_name}' was not synced. {self.reason}"

    def advice(self, tenant: str) -> str:
        """What to do, with the command that approves removals."""
        if self.stopped_for != "removals":
            return self.what_to_do
        command = f"quintile klaviyo confirm --tenant {tenant} --config {self.config_id}"
        return f"{self.what_to_do} To approve: {command}"


# -- reading ------------------------------------------------------------------------------------


def list_configs(conn: Connection, tenant_id: UUID) -> list[dict[str, Any]]:
    """The tenant's configurations, oldest first, each with its last sync."""
    parameters = {"tenant_id": tenant_id, "config_id": None, **_ALL_ROWS}
    return conn.execute(query("destinations.list_configs"), parameters).fetchall()


def get_config(conn: Connection, tenant_id: UUID, config_id: UUID) -> dict[str, Any]:
    """One configuration with its last sync.

    Raises:
        UnknownConfigError: The tenant has no configuration with this id.
    """
    parameters = {"tenant_id": tenant_id, "config_id": config_id, **_ALL_ROWS}
    row = conn.execute(query("destinations.list_configs"), parameters).fetchone()
    if row is None:
        raise UnknownConfigError
    return row


def find_config(conn: Connection, tenant_id: UUID, segment_key: str, list_id: str) -> UUID | None:
    """The id of a segment and list's configuration; None if they have none."""
    row = conn.execute(
        query("destinations.find_config"),
        {"tenant_id": tenant_id, "segment_key": segment_key, "list_id": list_id},
    ).fetchone()
    return None if row is None else cast("UUID", row["config_id"])


def lock_config(conn: Connection, tenant_id: UUID, config_id: UUID) -> None:
    """Check that a configuration is still to be synced; until the commit it cannot be deleted.

    Raises:
        SyncCancelledError: It has been paused or deleted.
    """
    row = conn.execute(
        query("destinations.lock_config"), {"tenant_id": tenant_id, "config_id": config_id}
    ).fetchone()
    if row is None or row["is_paused"]:
        raise SyncCancelledError


def paused_lists(conn: Connection, tenant_id: UUID) -> list[PausedList]:
    """The tenant's configurations that were paused, but not by a person."""
    rows = conn.execute(query("destinations.list_paused"), {"tenant_id": tenant_id}).fetchall()
    return [PausedList(**row) for row in rows]


def lists_to_attend_to(conn: Connection, tenant_id: UUID) -> Sequence[PausedList | StoppedList]:
    """The tenant's configurations that are not synced until a person acts."""
    stopped = [
        StoppedList(
            row["config_id"],
            row["list_name"],
            row["last_stopped_for"],
            row["last_error"],
            row["last_advice"],
        )
        for row in list_configs(conn, tenant_id)
        if row["last_state"] == "stopped"
        and not row["is_paused"]
        and row["confirmed_removals"] is None
    ]
    return [*paused_lists(conn, tenant_id), *stopped]


def auditable(row: dict[str, Any]) -> dict[str, Any]:
    """What a configuration syncs, as the audit log has it."""
    return {name: row[name] for name in ("list_id", "list_name", "segment_key", "direction")}


# -- changing -----------------------------------------------------------------------------------


def create_config(conn: Connection, tenant_id: UUID, new: NewConfig) -> UUID:
    """Sync a segment with an existing list from now on; returns the configuration's id.

    Raises:
        InvalidInputError: There is no such segment, or it does not allow the direction.
        ConfigConflictError: The configuration conflicts with another one of the list.
    """
    _lock_all(conn, tenant_id)
    _check_direction(new)
    _check_segment(conn, tenant_id, new)
    _check_conflicts(conn, tenant_id, new)
    row = conn.execute(
        query("destinations.create_config"), {"tenant_id": tenant_id, **asdict(new)}
    ).fetchone()
    return cast("UUID", one(row)["config_id"])


def change_config(
    conn: Connection, tenant_id: UUID, config_id: UUID, change: ConfigChange
) -> dict[str, Any]:
    """Change a configuration, pause it or resume it; returns it as it is afterwards.

    Pending events are deleted when events are switched off.

    Raises:
        UnknownConfigError: The tenant has no configuration with this id.
        InvalidInputError: The segment does not allow the direction.
        ConfigConflictError: The configuration would conflict with another one.
    """
    _lock_all(conn, tenant_id)
    known = get_config(conn, tenant_id, config_id)
    wanted = {
        name: known[name] if value is None else value for name, value in asdict(change).items()
    }
    changed = NewConfig(
        known["segment_key"],
        known["list_id"],
        known["list_name"],
        **{name: value for name, value in wanted.items() if name != "is_paused"},
    )
    _check_direction(changed)
    _check_conflicts(conn, tenant_id, changed, other_than=config_id)
    if known["direction"] != "push" and changed.direction == "push":
        _check_feeds_no_list(conn, tenant_id, known)
    parameters = {"tenant_id": tenant_id, "config_id": config_id, **wanted}
    conn.execute(query("destinations.change_config"), parameters)
    if known["sends_events"] and not wanted["sends_events"]:
        conn.execute(query("destinations.delete_events"), parameters)
    return get_config(conn, tenant_id, config_id)


def delete_config(conn: Connection, tenant_id: UUID, config_id: UUID) -> str:
    """Stop syncing a list and delete what is stored about it; returns the list's name.

    The list itself stays as it is.

    Raises:
        UnknownConfigError: The tenant has no configuration with this id.
        ConfigConflictError: The list is the segment of another configuration.
    """
    _lock_all(conn, tenant_id)
    known = get_config(conn, tenant_id, config_id)
    if known["direction"] != "push":
        _check_feeds_no_list(conn, tenant_id, known)
    parameters = {"tenant_id": tenant_id, "config_id": config_id, "list_id": known["list_id"]}
    conn.execute(query("destinations.delete_config"), parameters)
    conn.execute(query("destinations.delete_unused_list"), parameters)
    return cast("str", known["list_name"])


def unmap_list(conn: Connection, tenant_id: UUID, segment_key: str, list_id: str) -> str:
    """As :func:`delete_config`, by segment and list.

    Raises:
        InvalidInputError: The segment does not feed the list.
        ConfigConflictError: The list is the segment of another configuration.
    """
    known = find_config(conn, tenant_id, segment_key, list_id)
    if known is None:
        raise InvalidInputError(f"Segment '{segment_key}' feeds no list '{list_id}'.")
    return delete_config(conn, tenant_id, known)


def confirm_removals(conn: Connection, tenant_id: UUID, config_id: UUID) -> int:
    """Approve the removals that the last sync stopped for; returns how many there are.

    The next sync carries out up to this many; the approval is then used up.

    Raises:
        UnknownConfigError: The tenant has no configuration with this id.
        InvalidInputError: The last sync did not stop for removals.
    """
    known = get_config(conn, tenant_id, config_id)
    if known["last_stopped_for"] != "removals":
        raise InvalidInputError("The last sync of this list did not stop for removals.")
    removals = int(known["last_plan"]["stop"]["removals"])
    conn.execute(
        query("destinations.confirm_removals"),
        {"tenant_id": tenant_id, "config_id": config_id, "removals": removals},
    )
    return removals


def undo_removal(conn: Connection, tenant_id: UUID, config_id: UUID, email: str) -> None:
    """Let the next sync add an address again that a person removed from the list.

    Raises:
        UnknownConfigError: The tenant has no configuration with this id.
        InvalidInputError: No person removed this address from the list.
    """
    get_config(conn, tenant_id, config_id)
    undone = conn.execute(
        query("destinations.undo_removal"),
        {"tenant_id": tenant_id, "config_id": config_id, "email": email},
    ).fetchone()
    if undone is None:
        raise InvalidInputError("This address was not removed from the list.", field="email")


def pause_all_for_key(conn: Connection, tenant_id: UUID, reason: str) -> None:
    """Pause every configuration because the key was refused."""
    conn.execute(query("destinations.pause_for_key"), {"tenant_id": tenant_id, "reason": reason})


def resume_all_for_key(conn: Connection, tenant_id: UUID) -> None:
    """Resume the configurations that :func:`pause_all_for_key` paused."""
    conn.execute(query("destinations.resume_after_key"), {"tenant_id": tenant_id})


def delete_account_data(conn: Connection, tenant_id: UUID) -> None:
    """Delete what is stored of the profiles and lists of an account that is replaced."""
    conn.execute(query("destinations.delete_profiles"), {"tenant_id": tenant_id})
    conn.execute(query("destinations.delete_lists"), {"tenant_id": tenant_id})


def request_full_read(
    conn: Connection, tenant_id: UUID, config_ids: list[UUID] | None = None
) -> None:
    """Make the next sync read all profiles on the lists, not only those that joined since."""
    parameters = {"tenant_id": tenant_id, "config_ids": config_ids}
    conn.execute(query("destinations.request_full_read"), parameters)


def change_segment_rule(
    conn: Connection, tenant_id: UUID, changed_by: str, rule: segment_rules.SegmentRule
) -> None:
    """Replace the tenant's RFM segments and their grid, in the caller's transaction.

    Raises:
        InvalidRuleError: The rule has faults.
        ConfigConflictError: A segment that the rule removes feeds lists.
    """
    _lock_all(conn, tenant_id)
    kept = [row.segment for row in rule.segments]
    fed = conn.execute(
        query("destinations.list_fed_by_other_rfm_segments"),
        {"tenant_id": tenant_id, "segments": kept},
    ).fetchall()
    if fed:
        feeds = ", ".join(f"'{row['segment']}' feeds list '{row['list_name']}'" for row in fed)
        raise ConfigConflictError(
            f"Segments that feed Klaviyo lists cannot be removed: {feeds}.",
            advice="Keep the segment, or stop syncing the list first.",
            field="segments",
        )
    segment_rules.save_rule(conn, tenant_id, changed_by, rule)


# -- checks -------------------------------------------------------------------------------------


def _lock_all(conn: Connection, tenant_id: UUID) -> None:
    """Two changes at once could each pass the checks and still conflict with each other."""
    conn.execute(query("destinations.lock_configs"), {"tenant_id": tenant_id})


def _check_direction(new: NewConfig) -> None:
    is_own = new.segment_key == f"klaviyo:{new.list_id}"
    if is_own and new.direction != "pull":
        raise InvalidInputError(
            "A list cannot feed itself.",
            advice="To use it as a segment, pull it.",
            field="direction",
        )
    if new.direction != "pull":
        return
    if not is_own:
        raise InvalidInputError(
            "A list that is pulled is a segment itself and takes no other.",
            field="segment_key",
        )
    if new.sends_events or new.fires_flows_on_first_sync:
        raise InvalidInputError(
            "Pulling a list writes nothing: it neither sends events nor starts flows.",
            field="sends_events" if new.sends_events else "fires_flows_on_first_sync",
        )


def _check_segment(conn: Connection, tenant_id: UUID, new: NewConfig) -> None:
    segment = parse_segment_id(new.segment_key, field="segment_key")
    if segment.source == "klaviyo" and new.direction == "pull":
        return  # which makes it a segment
    found = find_segment(conn, tenant_id, segment)
    if found is not None and not found.is_deleted:
        return
    message, advice = {
        "rfm": (
            f"There is no RFM segment '{segment.key}'.",
            "Choose one of: "
            + ", ".join(f"rfm:{key}" for key in segment_rules.read_labels(conn, tenant_id)),
        ),
        "shopify": (f"The shop has no segment '{segment.key}'.", "Sync Shopify's segments first."),
        "klaviyo": (f"No list '{segment.key}' is pulled.", "Pull it first."),
    }[segment.source]
    raise InvalidInputError(message, advice=advice, field="segment_key")


def _check_conflicts(
    conn: Connection, tenant_id: UUID, new: NewConfig, *, other_than: UUID | None = None
) -> None:
    """Refuse the same mapping twice, push beside bidirectional on one list, and cycles of lists."""
    parameters = {"tenant_id": tenant_id, "other_than": other_than, **asdict(new)}
    found = one(conn.execute(query("destinations.find_conflict"), parameters).fetchone())
    if found["is_mapped"]:
        raise ConfigConflictError(
            f"This segment is already synced with list '{new.list_name}'.",
            field="segment_key",
        )
    if found["other_direction"] is not None:
        direction = _DIRECTIONS[found["other_direction"]]
        raise ConfigConflictError(
            f"List '{new.list_name}' already has a {direction} sync."
            " Only a two-way sync keeps people off the list who were removed by hand and have left"
            " the segment since: push and two-way would undo each other's changes.",
            advice=f"Choose {direction} for this one too, or change that one first.",
            field="direction",
        )
    if found["is_circle"]:
        raise ConfigConflictError(
            f"List '{new.list_name}' already feeds this segment, directly or through other lists:"
            " people removed from one would stay because of the other.",
            field="segment_key",
        )


def _check_feeds_no_list(conn: Connection, tenant_id: UUID, known: Mapping[str, Any]) -> None:
    """Refuse that a list stops being a segment while it feeds another list."""
    parameters = {"tenant_id": tenant_id, **known}
    fed = conn.execute(query("destinations.find_fed_by_list"), parameters).fetchone()
    if fed is not None:
        raise ConfigConflictError(
            f"The list is a segment that feeds list '{fed['list_name']}'.",
            advice="Stop syncing that one first.",
        )
