"""The dbt subprocess of a build: it ends with its parent, and reuses dbt's parse.

The build locks belong to the parent process. If the parent is killed, dbt must not write beside the
next build, so this process exits when its standard input closes.

dbt parses the whole project again when a var changes, and each build has another ``as_of`` or other
tenants. Most vars do not affect the manifest. So it is parsed with constant vars and passed to the
build, which applies its own vars when it renders SQL.

``python -m service.builds.dbt_process DIRECTORY VARS GUARANTEES …``: DIRECTORY caches the manifest,
VARS are the vars to parse it with (JSON), GUARANTEES are empty or what PostgreSQL guarantees of
relations that have not changed (JSON; see :func:`unneeded`), and the rest are dbt's arguments. None
of their vars and options may affect the manifest in another way.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import threading
from collections.abc import Mapping, Sequence
from typing import Any

import psycopg2
from dbt.adapters.contracts.connection import ConnectionState
from dbt.adapters.postgres.connections import PostgresConnectionManager
from dbt.adapters.postgres.impl import PostgresAdapter
from dbt.artifacts.resources.types import NodeType
from dbt.cli.main import dbtRunner, dbtRunnerResult
from dbt.contracts.graph.manifest import Manifest
from psycopg2 import sql


class KeptConnections(PostgresConnectionManager):
    """Keeps a thread's connection for its next model or test, which finds it as good as new.

    dbt opens one for each, and a new session reads the catalog again: of a small tenant's build,
    that is a quarter of dbt's time and more than half of the server's.
    """

    def release(self) -> None:
        """Reset the thread's connection; close it if that fails."""
        connection = self.get_if_exists()
        if connection is None or connection.state != ConnectionState.OPEN:
            return
        handle, role = connection.handle, connection.credentials.role
        try:
            # Also what psycopg2 has begun without dbt's knowledge.
            handle.rollback()
            # DISCARD is refused in a transaction. It drops temporary tables, too.
            handle.autocommit = True
            with handle.cursor() as cursor:
                cursor.execute("discard all")
                if role:
                    # As dbt does in a new session.
                    cursor.execute(sql.SQL("set role {}").format(sql.Identifier(role)))
            handle.autocommit = False
        except psycopg2.Error:
            super().release()
        else:
            connection.transaction_open = False


# Of nodes that a build leaves out; in memory only.
_UNNEEDED = "quintile_unneeded"


def _exit_with_parent() -> None:
    while os.read(sys.stdin.fileno(), 1):
        pass
    # PostgreSQL rolls back what is not committed.
    os._exit(1)


def run_parsed(
    directory: str, manifest_vars: str, guarantees: str, arguments: Sequence[str]
) -> int:
    """Parse the manifest with these vars, run dbt on it, and return dbt's exit status."""
    # Imports and parsing create objects that stay, so collecting garbage is a waste of time.
    gc.disable()
    parsed = parse(directory, manifest_vars)
    if not isinstance(parsed.result, Manifest):
        return _exit_status(parsed)
    gc.freeze()
    return run_with(parsed.result, guarantees, arguments)


def parse(directory: str, manifest_vars: str) -> dbtRunnerResult:
    """Parse the manifest with these vars, or read what is cached of it."""
    return dbtRunner().invoke(
        [
            # No manifest.json: only this process uses the manifest.
            *("--quiet", "--no-use-colors", "--warn-error", "--no-write-json", "parse"),
            *("--target-path", directory, "--vars", manifest_vars),
        ]
    )


def run_with(manifest: Manifest, guarantees: str, arguments: Sequence[str]) -> int:
    """Run dbt on a manifest, and return its exit status."""
    gc.set_threshold(50_000, 20, 20)
    gc.enable()
    PostgresAdapter.ConnectionManager = KeptConnections
    return _exit_status(
        dbtRunner(manifest=manifest).invoke([*arguments, *selection(manifest, guarantees)])
    )


def selection(manifest: Manifest, guarantees: str) -> list[str]:
    """Options that leave out what is unneeded; none for a complete build."""
    if not guarantees:
        return []
    # One tag: dbt would compare each name with each node, three times.
    for node in unneeded(manifest, json.loads(guarantees)):
        node.tags = [*node.tags, _UNNEEDED]
    # Else dbt leaves out the tests of what it leaves out, too.
    return ["--indirect-selection", "empty", "--exclude", f"tag:{_UNNEEDED}"]


def unneeded(manifest: Manifest, guarantees: Mapping[str, Any]) -> list[Any]:
    """What a build leaves out whose views and seeds are as a complete build has left them.

    Those are the views, the seeds, the tests of the seeds, whose rows are the same, and tests of
    what PostgreSQL guarantees: that a key with a unique index is unique, and a column not null.
    """
    return [
        node
        for node in manifest.nodes.values()
        if node.resource_type == NodeType.Seed
        or (node.resource_type == NodeType.Model and node.config.materialized == "view")
        or (node.resource_type == NodeType.Test and _is_test_unneeded(manifest, node, guarantees))
    ]


def _is_test_unneeded(manifest: Manifest, test: Any, guarantees: Mapping[str, Any]) -> bool:
    metadata = getattr(test, "test_metadata", None)
    node = manifest.nodes.get(getattr(test, "attached_node", None) or "")
    if metadata is None or node is None:
        return False
    return node.resource_type == NodeType.Seed or _is_guaranteed(metadata, node, guarantees)


def _is_guaranteed(metadata: Any, node: Any, guarantees: Mapping[str, Any]) -> bool:
    table = f"{node.schema}.{node.alias}"
    if metadata.name == "not_null":
        return metadata.kwargs["column_name"] in guarantees["not_null"].get(table, [])
    if metadata.name == "unique":
        columns = {metadata.kwargs["column_name"]}
    elif metadata.name == "unique_within_tenant":
        columns = {"tenant_id", *metadata.kwargs["columns"]}
    else:
        return False
    return any(columns.issuperset(key) for key in guarantees["unique_keys"].get(table, []))


def _exit_status(result: dbtRunnerResult) -> int:
    """As dbt's own command: 1 when a node failed, 2 when dbt could not run."""
    if result.exception is not None:
        return 2
    return 0 if result.success else 1


if __name__ == "__main__":
    threading.Thread(target=_exit_with_parent, daemon=True).start()
    sys.exit(run_parsed(sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4:]))
