"""dbt's tables and views as the last complete build left them, and what need not be done again.

A build runs the views, the seeds and their tests although only a release changes them, and checks
every table's columns, comments, grants and policies. All of it depends on the project's files and
on what PostgreSQL's catalog says of the relations. So a complete build records a checksum of both.
Builds that find the same one leave these parts out.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from service.core.db import Connection, one
from service.core.queries import query

# Beside the project's own row.
_PROJECT = "quintile relations"


@dataclass(frozen=True)
class Relations:
    """The relations of one moment.

    ``unique_keys`` are columns by table that a unique index covers and that are never null,
    ``not_null`` the columns that are never null.
    """

    checksum: str
    unique_keys: Mapping[str, Sequence[Sequence[str]]]
    not_null: Mapping[str, Sequence[str]]

    def guarantees(self) -> str:
        """What PostgreSQL guarantees, as JSON."""
        return json.dumps({"unique_keys": self.unique_keys, "not_null": self.not_null})


def read_relations(conn: Connection, project_checksum: str) -> Relations:
    """The relations now, for a project with this checksum. All of its tables must exist."""
    row = one(conn.execute(query("builds.describe_relations")).fetchone())
    checksum = hashlib.sha256(f"{project_checksum} {row['checksum']}".encode()).hexdigest()
    return Relations(checksum, row["unique_keys"] or {}, row["not_null"] or {})


def are_recorded(conn: Connection, relations: Relations) -> bool:
    """Whether a complete build has left the relations like this."""
    parameters = {"project": _PROJECT, "checksum": relations.checksum}
    row = one(conn.execute(query("builds.are_relations_recorded"), parameters).fetchone())
    return bool(row["are_recorded"])


def record(conn: Connection, relations: Relations) -> None:
    """Record relations that a complete build has found and left like this."""
    parameters = {"project": _PROJECT, "checksum": relations.checksum}
    conn.execute(query("builds.record_relations"), parameters)
