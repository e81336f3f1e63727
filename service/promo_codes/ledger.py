"""What Shopify has accepted of one promo code, and the history of that."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal
from uuid import UUID

from psycopg import sql

from service.core.db import Connection, Pool, one, tenant_transaction
from service.core.queries import query
from service.promo_codes.plan import Kind, Problem, hold_code
from service.shopify.discounts import MOST_TARGETS_PER_CALL

Action = Literal["created", "targets", "values", "ended", "resumed", "gone"]


@dataclass(frozen=True)
class Ledger:
    """The records of one promo code; each method is one transaction.

    If the code was deleted here meanwhile, methods raise
    :class:`~service.promo_codes.plan.CodeDeletedError`, but for :meth:`finish` and
    :meth:`interrupt`.
    """

    pool: Pool
    tenant_id: UUID
    run_id: UUID
    promo_code_id: UUID

    # -- targets --------------------------------------------------------------------------------

    def next_targets(
        self, kind: Kind, state: Literal["adding", "removing", "refused"]
    ) -> list[str]:
        """The next targets in a state, as many as one call takes."""
        with self._transaction() as conn:
            rows = conn.execute(
                query("promo_codes.list_targets"),
                self._ids(kind=kind, state=state, row_limit=MOST_TARGETS_PER_CALL),
            )
            return [row["target_id"] for row in rows]

    def count_accepted(self, kind: Kind) -> int:
        """How many targets Shopify has and keeps."""
        with self._transaction() as conn:
            row = conn.execute(query("promo_codes.count_accepted"), self._ids(kind=kind)).fetchone()
        return int(one(row)["accepted"])

    def accept(self, kind: Kind, targets: Sequence[str]) -> None:
        """Shopify has these targets now."""
        with self._transaction() as conn:
            self._accept(conn, kind, targets, "targets")

    def remove(self, kind: Kind, targets: Sequence[str]) -> None:
        """Shopify no longer has these targets."""
        with self._transaction() as conn:
            self._change_targets(conn, query("promo_codes.remove_targets"), kind, targets)
            self._record(conn, "targets", removed=len(targets))

    def refuse(self, kind: Kind, targets: Sequence[str]) -> None:
        """Shopify does not know these targets."""
        with self._transaction() as conn:
            self._change_targets(conn, query("promo_codes.refuse_targets"), kind, targets)
            self._record(conn, "targets", refused=len(targets))

    def compare(self, kind: Kind, found: Iterable[str]) -> tuple[list[str], list[str]]:
        """What Shopify has of a kind and should not, and what it has no more though it accepted it.

        What is being added or removed may be there or not, and counts as neither.
        """
        with self._transaction() as conn:
            rows = conn.execute(
                query("promo_codes.compare_targets"), self._ids(kind=kind, found=list(found))
            ).fetchall()
        added = [row["target_id"] for row in rows if row["is_found"]]
        return added, [row["target_id"] for row in rows if not row["is_found"]]

    def restore(self, kind: Kind, *, added: Sequence[str], removed: Sequence[str]) -> None:
        """Mark what somebody added in Shopify to be removed, and what was removed to be added."""
        with self._transaction() as conn:
            conn.execute(
                query("promo_codes.restore_targets"),
                self._ids(kind=kind, added=list(added), removed=list(removed)),
            )

    def forget(self, kind: Kind, targets: Sequence[str]) -> None:
        """Forget targets that the shop has deleted, and with them its right to use the code."""
        with self._transaction() as conn:
            self._change_targets(conn, query("promo_codes.remove_targets"), kind, targets)

    # -- the discount ---------------------------------------------------------------------------

    def record_sent(self, title: str | None) -> None:
        """The creation is about to be sent with this title; None if it was refused."""
        with self._transaction() as conn:
            conn.execute(query("promo_codes.record_sent"), self._ids(title=title))

    def record_created(
        self, discount_id: str, revision: int, kind: Kind, targets: Sequence[str]
    ) -> None:
        """Shopify has made the discount with its first targets."""
        with self._transaction() as conn:
            self._record_discount(conn, discount_id, revision)
            self._accept(conn, kind, targets, "created")

    def record_found(self, discount_id: str) -> None:
        """The discount of a creation whose answer was lost; which targets it has is unknown."""
        with self._transaction() as conn:
            self._record_discount(conn, discount_id, 0)
            self._record(conn, "created")

    def record_values(self, discount_id: str, revision: int, *, has_resumed: bool) -> None:
        """Shopify has the values of a revision; with them, an ended discount works again."""
        with self._transaction() as conn:
            self._record_discount(conn, discount_id, revision)
            conn.execute(query("promo_codes.record_ended"), self._ids(is_ended=False))
            self._record(conn, "resumed" if has_resumed else "values")

    def record_unknown(self) -> None:
        """The discount is about to get values or to be ended; until the answer both are unknown."""
        with self._transaction() as conn:
            conn.execute(query("promo_codes.record_unknown"), self._ids())

    def record_ended(self, discount_id: str, revision: int) -> None:
        """Quintile has ended the discount; its other values are those of a revision."""
        with self._transaction() as conn:
            self._record_discount(conn, discount_id, revision)
            conn.execute(query("promo_codes.record_ended"), self._ids(is_ended=True))
            self._record(conn, "ended")

    def record_gone(self) -> None:
        """Shopify no longer has the discount."""
        with self._transaction() as conn:
            self._record(conn, "gone")

    def delete(self) -> None:
        """Delete the promo code with these records."""
        with self._transaction() as conn:
            conn.execute(query("promo_codes.delete_code"), self._ids())

    # -- the outcome ----------------------------------------------------------------------------

    def finish(self, requests: int, problem: Problem | None) -> None:
        """Record the outcome of an update; what was asked for since it began stays due."""
        with tenant_transaction(self.pool, self.tenant_id) as conn:
            parameters = self._ids(requests=requests, **_describe(problem))
            conn.execute(query("promo_codes.finish_code"), parameters)

    def interrupt(self, problem: Problem) -> None:
        """Record why an update has not ended; it stays due."""
        with tenant_transaction(self.pool, self.tenant_id) as conn:
            conn.execute(query("promo_codes.interrupt_code"), self._ids(**_describe(problem)))

    # -- parts ----------------------------------------------------------------------------------

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        with tenant_transaction(self.pool, self.tenant_id) as conn:
            hold_code(conn, self.tenant_id, self.promo_code_id)
            yield conn

    def _ids(self, **more: object) -> dict[str, Any]:
        return {"tenant_id": self.tenant_id, "promo_code_id": self.promo_code_id, **more}

    def _accept(self, conn: Connection, kind: Kind, targets: Sequence[str], action: Action) -> None:
        self._change_targets(conn, query("promo_codes.accept_targets"), kind, targets)
        self._record(conn, action, added=len(targets))

    def _change_targets(
        self, conn: Connection, statement: sql.SQL, kind: Kind, targets: Sequence[str]
    ) -> None:
        parameters = self._ids(run_id=self.run_id, kind=kind, target_ids=list(targets))
        conn.execute(statement, parameters)

    def _record_discount(self, conn: Connection, discount_id: str, revision: int) -> None:
        parameters = self._ids(discount_id=discount_id, revision=revision)
        conn.execute(query("promo_codes.record_discount"), parameters)

    def _record(self, conn: Connection, action: Action, **counts: int) -> None:
        parameters = {"added": 0, "removed": 0, "refused": 0} | counts
        conn.execute(
            query("promo_codes.record_change"),
            self._ids(run_id=self.run_id, action=action, **parameters),
        )


def _describe(problem: Problem | None) -> dict[str, str | None]:
    if problem is None:
        return {"problem": None, "message": None, "advice": None}
    return {
        "problem": problem.kind,
        "message": problem.message,
        "advice": problem.advice or None,
    }
