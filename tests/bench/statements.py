"""dbt, with the seconds of its statements: ``python -m tests.bench.statements FILE build …``.

PostgreSQL counts a text of several statements as one, and the embedded server has no
pg_stat_statements. So dbt's cursor sends them one by one here, in the transaction that they share
anyway, and adds up by model and kind how long the answers take.
"""

from __future__ import annotations

import functools
import json
import re
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import pglast
import psycopg2.extensions

# What a model's time is made of; the first that a statement begins with. `query` makes the rows,
# in a temporary table or, in a new table, in place; `hooks` are blocks, locks and settings; `other`
# is what dbt asks the catalog, comments and grants.
KINDS = {
    "query": r"create\s+(temporary\s+)?table|insert",
    "analyze": "analyze",
    "delete": "delete",
    "merge": "merge",
    "hooks": "do|call|lock|set|update",
    "commit": "begin|commit",
    "other": "",
}
_COMMENTS = re.compile(r"(\s+|--[^\n]*|/\*.*?\*/)*", re.DOTALL)
_MODEL = re.compile(r'"node_id": "model\.\w+\.(\w+)"')
spent: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))


class TimedCursor(psycopg2.extensions.cursor):
    """Adds what each statement takes to `spent`, by the model in dbt's comment before it."""

    # BEGIN and COMMIT have no comment.
    model = ""

    def execute(self, query: str, vars: Any = None) -> None:  # noqa: A002 - psycopg2's name
        if query.startswith("/*"):
            found = _MODEL.search(query)
            TimedCursor.model = found[1] if found else ""
        for statement in pglast.split(query, with_parser=False):
            began = time.perf_counter()
            super().execute(statement, vars)
            spent[self.model][kind_of(statement)] += time.perf_counter() - began


def kind_of(statement: str) -> str:
    """The kind of a statement, whatever comments it begins with."""
    text = _COMMENTS.sub("", statement, count=1).lower()
    return next(k for k, words in KINDS.items() if re.match(rf"({words})\b", text) or not words)


if __name__ == "__main__":
    from dbt.cli.main import cli

    psycopg2.connect = functools.partial(psycopg2.connect, cursor_factory=TimedCursor)
    try:
        cli(sys.argv[2:])
    finally:
        Path(sys.argv[1]).write_text(json.dumps(spent), encoding="utf-8")
