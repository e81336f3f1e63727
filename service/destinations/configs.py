"""Which segment is kept in step with which list, in which direction, and what pauses that."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, cast
from uuid import UUID

from service.core.db import Connection, one
from service.core.errors import InvalidInputError, QuintileError
from service.core.queries import query
from service.core.seeds import rfm_segment_labels

Direction = Literal["push", "pull", "bidirectional"]
PausedBy = Literal["person", "sync", "key"]


class UnknownConfigError(InvalidInputError):
    """There is no such configuration."""


class SyncCancelledError(QuintileError):
    """The configuration was paused or deleted during its sync; changes made so far are kept."""


class ConfigConflictError(InvalidInputError):
    """The list is already kept in step in a way that this one would fight with."""


@dataclass(frozen=True)
class NewConfig:
    """What to keep in step with what.

    ``segment_key`` is ``rfm:<segment>``, ``shopify:<segment id>`` or ``klaviyo:<list id>``, a list
    that is pulled. A pull itself has the key of its own list.
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
    """A configuration that is not synced, and why."""

    segment_key: str
    list_id: str
    list_name: str
    paused_by: PausedBy
    paused_reason: str

    def message(self) -> str:
        """What has happened, in a sentence or two."""
        return (
            f"list '{self.list_name}', fed by {self.segment_key}, is paused. {self.paused_reason}"
        )

    def advice(self, tenant: str) -> str:
        """The commands by which an operator ends it."""
        if self.paused_by == "key":
            return f"Connect with a key that is accepted: quintile tenants connect-klaviyo {tenant}"
        return (
            "Map another list or segment, or this one again once it is back: "
            f"quintile tenants map-list {tenant} --segment KEY --list ID. To give it up: "
            f"quintile tenants unmap-list {tenant} --segment {self.segment_key} "
            f"--list {self.list_id}"
        )


# -- reading ------------------------------------------------------------------------------------


def list_configs(conn: Connection, tenant_id: UUID) -> list[dict[str, Any]]:
    """The tenant's configurations in the order of their making, each with its last sync."""
    return conn.execute(
        query("destinations.list_configs"), {"tenant_id": tenant_id, "config_id": None}
    ).fetchall()


def get_config(conn: Connection, tenant_id: UUID, config_id: UUID) -> dict[str, Any]:
    """One configuration with its last sync.

    Raises:
        UnknownConfigError: The tenant has none of this id.
    """
    row = conn.execute(
        query("destinations.list_configs"), {"tenant_id": tenant_id, "config_id": config_id}
    ).fetchone()
    if row is None:
        raise UnknownConfigError
    return row


def lock_config(conn: Connection, tenant_id: UUID, config_id: UUID) -> None:
    """Make sure that a configuration is to be synced, and is not given up before the commit.

    A sync takes long, and a person who pauses it does not expect it to go on.

    Raises:
        SyncCancelledError: It has been paused or given up.
    """
    row = conn.execute(
        query("destinations.lock_config"), {"tenant_id": tenant_id, "config_id": config_id}
    ).fetchone()
    if row is None or row["is_paused"]:
        raise SyncCancelledError


def paused_lists(conn: Connection, tenant_id: UUID) -> list[PausedList]:
    """The tenant's configurations that a sync has paused until somebody has seen to them."""
    rows = conn.execute(query("destinations.list_paused"), {"tenant_id": tenant_id}).fetchall()
    return [PausedList(**row) for row in rows]


# -- changing -----------------------------------------------------------------------------------


def create_config(conn: Connection, tenant_id: UUID, new: NewConfig) -> UUID:
    """Keep a list in step with a segment, from the next sync on.

    Args:
        conn: A transaction of the tenant.
        tenant_id: Whose list.
        new: What to keep in step with what; the list is known to exist.

    Raises:
        InvalidInputError: There is no such segment, or the direction does not go with it.
        ConfigConflictError: Another configuration of the list would fight with it; the reason.
    """
    _lock(conn, tenant_id)
    _check_direction(new)
    _check_segment(conn, tenant_id, new)
    _check_peace(conn, tenant_id, new)
    row = conn.execute(
        query("destinations.create_config"), {"tenant_id": tenant_id, **asdict(new)}
    ).fetchone()
    return cast("UUID", one(row)["config_id"])


def change_config(
    conn: Connection, tenant_id: UUID, config_id: UUID, change: ConfigChange
) -> dict[str, Any]:
    """Change how a list is kept in step, pause it or go on with it; returns what it is then.

    Events that wait to be sent are dropped when they are switched off.

    Raises:
        UnknownConfigError: The tenant has none of this id.
        InvalidInputError: The direction does not go with the segment.
        ConfigConflictError: Another configuration of the list would fight with it, or needs the
            list as its segment; the reason.
    """
    _lock(conn, tenant_id)
    known = get_config(conn, tenant_id, config_id)
    wanted = {
        name: known[name] if value is None else value for name, value in asdict(change).items()
    }
    becoming = NewConfig(
        known["segment_key"],
        known["list_id"],
        known["list_name"],
        **{name: value for name, value in wanted.items() if name != "is_paused"},
    )
    _check_direction(becoming)
    _check_peace(conn, tenant_id, becoming, other_than=config_id)
    if known["direction"] != "push" and becoming.direction == "push":
        _check_feeds_none(conn, tenant_id, known)
    parameters = {"tenant_id": tenant_id, "config_id": config_id, **wanted}
    conn.execute(query("destinations.change_config"), parameters)
    if known["sends_events"] and not wanted["sends_events"]:
        conn.execute(query("destinations.delete_events"), parameters)
    return get_config(conn, tenant_id, config_id)


def delete_config(conn: Connection, tenant_id: UUID, config_id: UUID) -> str:
    """Keep a list in step no longer, and forget what was known of it; returns the list's name.

    Who is on the list stays on it.

    Raises:
        UnknownConfigError: The tenant has none of this id.
        ConfigConflictError: The list is the segment of another configuration.
    """
    _lock(conn, tenant_id)
    known = get_config(conn, tenant_id, config_id)
    parameters = {"tenant_id": tenant_id, "config_id": config_id, "list_id": known["list_id"]}
    if known["direction"] != "push":
        _check_feeds_none(conn, tenant_id, known)
    conn.execute(query("destinations.delete_config"), parameters)
    conn.execute(query("destinations.delete_unused_list"), parameters)
    return cast("str", known["list_name"])


def confirm_removals(conn: Connection, tenant_id: UUID, config_id: UUID) -> int:
    """Agree to as many removals as the last sync stopped for; returns how many those are.

    The next sync carries them out if there are no more of them by then, and the agreement is used
    up.

    Raises:
        UnknownConfigError: The tenant has none of this id.
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
    """Let the next sync put back whom a person has taken off the list.

    That a person did so is forgotten in every configuration of the list.

    Raises:
        UnknownConfigError: The tenant has none of this id.
        InvalidInputError: The address was not taken off the list by a person.
    """
    get_config(conn, tenant_id, config_id)
    undone = conn.execute(
        query("destinations.undo_removal"),
        {"tenant_id": tenant_id, "config_id": config_id, "email": email.strip().lower()},
    ).fetchone()
    if undone is None:
        raise InvalidInputError("Nobody has taken this address off the list.", field="email")


def pause_all_for_key(conn: Connection, tenant_id: UUID, reason: str) -> int:
    """Pause every configuration until a key is accepted; returns how many went on until now."""
    return conn.execute(
        query("destinations.pause_for_key"), {"tenant_id": tenant_id, "reason": reason}
    ).rowcount


def resume_all_for_key(conn: Connection, tenant_id: UUID) -> None:
    """Resume the configurations that :func:`pause_all_for_key` has paused."""
    conn.execute(query("destinations.resume_after_key"), {"tenant_id": tenant_id})


def request_full_read(
    conn: Connection, tenant_id: UUID, config_ids: list[UUID] | None = None
) -> None:
    """Have the next sync read everybody on the lists, and not only who has joined since."""
    conn.execute(
        query("destinations.request_full_reading"),
        {"tenant_id": tenant_id, "config_ids": config_ids},
    )


# -- by names, for operators --------------------------------------------------------------------


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


def find_config(conn: Connection, tenant_id: UUID, segment_key: str, list_id: str) -> UUID | None:
    """The configuration of a segment and a list; None when there is none."""
    row = conn.execute(
        query("destinations.find_config"),
        {"tenant_id": tenant_id, "segment_key": segment_key, "list_id": list_id},
    ).fetchone()
    return None if row is None else cast("UUID", row["config_id"])


# -- what may be kept in step with what ---------------------------------------------------------


def _lock(conn: Connection, tenant_id: UUID) -> None:
    """Two changes at once could each be at peace with what there is, and not with each other."""
    conn.execute(query("destinations.lock_configs"), {"tenant_id": tenant_id})


def _check_direction(new: NewConfig) -> None:
    is_own = new.segment_key == f"klaviyo:{new.list_id}"
    if is_own and new.direction != "pull":
        raise InvalidInputError(
            "A list cannot feed itself.",
            advice="To have it here as a segment, pull it.",
            field="direction",
        )
    if new.direction != "pull":
        return
    if not is_own:
        raise InvalidInputError(
            "A list that is pulled is a segment by itself, with the key"
            f" klaviyo:{new.list_id}; it takes no other.",
            field="segment_key",
        )
    if new.sends_events or new.fires_flows_on_first_sync:
        raise InvalidInputError(
            "Pulling a list writes nothing to Klaviyo: it neither sends events nor starts flows.",
            field="sends_events" if new.sends_events else "fires_flows_on_first_sync",
        )


def _check_segment(conn: Connection, tenant_id: UUID, new: NewConfig) -> None:
    kind, _, name = new.segment_key.partition(":")
    if kind == "rfm" and name in rfm_segment_labels():
        return
    if kind == "shopify":
        row = conn.execute(
            query("destinations.find_shopify_segment"), {"tenant_id": tenant_id, "segment_id": name}
        ).fetchone()
        if row is not None and not row["is_gone"]:
            return
        raise InvalidInputError(
            f"The shop has no segment '{name}'.",
            advice="Sync the shop first: quintile sync shopify",
            field="segment_key",
        )
    if kind == "klaviyo":
        row = conn.execute(
            query("destinations.find_pulled_list"), {"tenant_id": tenant_id, "list_id": name}
        ).fetchone()
        if new.direction == "pull" or row is not None:
            return
        raise InvalidInputError(
            f"No list '{name}' is pulled.", advice="Pull it first.", field="segment_key"
        )
    raise InvalidInputError(
        f"'{new.segment_key}' is not a segment.",
        advice="It is shopify:<segment id>, klaviyo:<list id> or one of: "
        + ", ".join(f"rfm:{segment}" for segment in rfm_segment_labels()),
        field="segment_key",
    )


def _check_peace(
    conn: Connection, tenant_id: UUID, new: NewConfig, *, other_than: UUID | None = None
) -> None:
    """Refuse what would fight: the same mapping twice, push beside bidirectional, a circle."""
    parameters = {"tenant_id": tenant_id, "other_than": other_than, **asdict(new)}
    found = one(conn.execute(query("destinations.find_conflict"), parameters).fetchone())
    if found["is_mapped"]:
        raise ConfigConflictError(
            f"Segment '{new.segment_key}' and list '{new.list_name}' are already kept in step.",
            field="segment_key",
        )
    if found["other_direction"] is not None:
        raise ConfigConflictError(
            f"List '{new.list_name}' is kept in step by {found['other_direction']} already, with"
            f" {found['other_segment_key']}. A push forgets whom a person took off the list when"
            " they leave the segment, and a bidirectional sync does not: the two would fight over"
            " them.",
            advice=f"Choose {found['other_direction']} for this one too, or change that one first.",
            field="direction",
        )
    if found["is_circle"]:
        raise ConfigConflictError(
            f"List '{new.list_name}' feeds list {new.segment_key.partition(':')[2]} already, by"
            " itself or by others: who is taken off one would be kept on by the other.",
            field="segment_key",
        )


def _check_feeds_none(conn: Connection, tenant_id: UUID, known: Mapping[str, Any]) -> None:
    """Refuse that a list ceases to be a segment while another list is fed by it."""
    parameters = {
        "tenant_id": tenant_id,
        "config_id": known["config_id"],
        "list_id": known["list_id"],
    }
    fed = conn.execute(query("destinations.find_fed_by_list"), parameters).fetchone()
    if fed is not None:
        raise ConfigConflictError(
            f"The list is a segment that feeds list '{fed['list_name']}'.",
            advice="Give that one up first.",
        )
