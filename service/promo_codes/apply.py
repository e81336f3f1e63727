"""The run that applies promo codes to Shopify: each code for which an update was asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from service.core.config import Settings
from service.core.db import Pool, tenant_transaction
from service.core.errors import NotConnectedError, QuintileError
from service.core.queries import query
from service.promo_codes.codes import missing_scope
from service.promo_codes.ledger import Ledger
from service.promo_codes.plan import CodeDeletedError, Problem
from service.promo_codes.update import Update
from service.queue.progress import RunProgress
from service.shopify.client import ShopifyClient
from service.shopify.connection import open_connected_shopify
from service.shopify.errors import (
    ShopifyDeniedError,
    ShopifyError,
    ShopifyRefusedError,
    ShopifyUnavailableError,
    ShopifyUnknownOutcomeError,
    ShopifyUnservedError,
)

# After this many codes in a row without an answer, Shopify is taken for unavailable.
_UNSERVED_IN_A_ROW = 3
_TRIED_AGAIN = "It is tried again automatically, at the latest after the next build."


class PromoCodesStoppedError(QuintileError):
    """Promo codes cannot be applied to the shop."""


def apply_promo_codes(
    settings: Settings, pool: Pool, tenant_id: UUID, progress: RunProgress
) -> None:
    """Apply every promo code of the tenant for which an update was asked.

    A code with a problem is left as far as it got, with the problem and what to do about it. The
    others are still applied. Counts in ``progress``: codes applied, created, deleted and those that
    need attention; targets added and removed.

    Raises:
        NotConnectedError: The tenant's shop is not connected.
        PromoCodesStoppedError: The access token lacks the scope ``write_discounts``.
        ShopifyRefusedError: The access token is not accepted.
        ShopifyUnavailableError: Shopify cannot be reached, or did not serve a code; codes that are
            left stay due.
        ShopifyError: A call failed in another way; the other codes were applied.
    """
    with tenant_transaction(pool, tenant_id, read_only=True) as conn:
        rows = conn.execute(query("promo_codes.list_due_codes"), {"tenant_id": tenant_id})
        due = [row["promo_code_id"] for row in rows]
    if not due:
        return
    progress.phase("promo codes", total=len(due))
    run = _Run(settings, pool, tenant_id, progress)
    is_denied = False
    failures: list[ShopifyError] = []
    try:
        with open_connected_shopify(settings, pool, tenant_id) as client:
            try:
                failures = run.apply_all(client, due)
            except ShopifyDeniedError:
                # The token is good for everything else, so the connection is not refused.
                is_denied = True
    except NotConnectedError as error:
        run.stop(due, Problem("not_connected", error.message, error.advice))
        raise
    except ShopifyRefusedError as error:
        run.stop(due, Problem("token_refused", error.message, error.advice))
        raise
    if is_denied:
        missing = missing_scope()
        run.stop(due, Problem("scope_missing", missing.message, missing.advice))
        raise PromoCodesStoppedError(missing.message, advice=missing.advice)
    if failures:
        raise failures[0]


@dataclass(frozen=True)
class _Run:
    """What the update of every code needs."""

    settings: Settings
    pool: Pool
    tenant_id: UUID
    progress: RunProgress

    def apply_all(self, client: ShopifyClient, due: Sequence[UUID]) -> list[ShopifyError]:
        """Apply each code; returns the failures that do not concern the ones after them."""
        failures: list[ShopifyError] = []
        unserved = 0
        for promo_code_id in due:
            code = self._find(promo_code_id)
            if code is None:
                continue
            ledger = self._ledger(promo_code_id)
            try:
                problem = Update(self.settings, client, ledger, self.progress, code).apply()
            except CodeDeletedError:
                # A person kept its discount, so nothing more is done about it.
                self.progress.advance()
                continue
            except ShopifyRefusedError:
                raise
            except ShopifyUnavailableError as error:
                ledger.interrupt(Problem("shopify_unavailable", error.message, _TRIED_AGAIN))
                unserved += 1
                if isinstance(error, ShopifyUnservedError) and unserved < _UNSERVED_IN_A_ROW:
                    # It may be this code's alone.
                    failures.append(error)
                    self.progress.advance()
                    continue
                if isinstance(error, ShopifyUnknownOutcomeError):
                    # The next attempt looks up whether the discount was created.
                    raise ShopifyUnavailableError(error.message) from None
                raise
            except ShopifyError as error:
                problem = Problem("failed", error.message, error.advice)
                failures.append(error)
            unserved = 0
            self._finish(ledger, code, problem)
        return failures

    def stop(self, due: Sequence[UUID], problem: Problem) -> None:
        """Record a problem of all codes that are still due."""
        for promo_code_id in due:
            code = self._find(promo_code_id)
            if code is not None:
                self._finish(self._ledger(promo_code_id), code, problem)

    def _finish(self, ledger: Ledger, code: dict[str, Any], problem: Problem | None) -> None:
        ledger.finish(code["requests"], problem)
        self.progress.count(**{"applied" if problem is None else "need_attention": 1})
        self.progress.advance()

    def _find(self, promo_code_id: UUID) -> dict[str, Any] | None:
        """A due code as it is now; None if it was done or deleted meanwhile."""
        parameters = {"tenant_id": self.tenant_id, "promo_code_id": promo_code_id}
        with tenant_transaction(self.pool, self.tenant_id, read_only=True) as conn:
            return conn.execute(query("promo_codes.find_due_code"), parameters).fetchone()

    def _ledger(self, promo_code_id: UUID) -> Ledger:
        return Ledger(self.pool, self.tenant_id, self.progress.run_id, promo_code_id)
