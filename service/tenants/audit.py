"""The audit log: who changed what, with the values before and after.

An entry is written in the transaction of its change. Where the change is a call of a provider, or a
command, it follows that. Values must not contain personal data of customers or creators: erasing
them does not search the log.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb
from pydantic import TypeAdapter

from service.core.db import Connection
from service.core.queries import query
from service.tenants.tokens import Access

_COMMAND_LINE = "command line"

_ANY: TypeAdapter[Any] = TypeAdapter(Any)


def command_access(tenant_id: UUID) -> Access:
    """Who changes what a command changes."""
    return Access(tenant_id, "admin", "command", _COMMAND_LINE)


def record_command(conn: Connection, tenant_id: UUID, action: str, **values: Any) -> None:
    """As :func:`record_change`, for a command."""
    record_change(conn, command_access(tenant_id), action, **values)


def record_change(
    conn: Connection,
    access: Access,
    action: str,
    *,
    subject: object = "",
    before: Any = None,
    after: Any = None,
) -> None:
    """Add an entry, in the transaction of the change.

    Args:
        conn: The tenant's transaction, or the owner's.
        access: Who made the change, and for which tenant.
        action: What was done, as ``noun.verb``.
        subject: Id or name of what was changed.
        before: Values before the change, which can be written as JSON; None if there were none.
        after: Values after it.
    """
    conn.execute(
        query("tenants.record_change"),
        {
            "tenant_id": access.tenant_id,
            "actor": access.actor,
            "kind": access.kind,
            "credential_id": access.credential_id,
            "action": action,
            "subject": str(subject),
            "before": _json(before),
            "after": _json(after),
        },
    )


@contextmanager
def recording(
    conn: Connection,
    access: Access,
    action: str,
    *,
    subject: object = "",
    read: Callable[[], Any],
) -> Iterator[None]:
    """As :func:`record_change`, with what ``read`` gives before and after, if that differs."""
    before = read()
    yield
    after = read()
    if after != before:
        record_change(conn, access, action, subject=subject, before=before, after=after)


def _json(value: Any) -> Jsonb | None:
    return None if value is None else Jsonb(_ANY.dump_python(value, mode="json"))
