"""Bringing one promo code up to date in Shopify.

Every step can be repeated. A target is written to the ledger before it is sent, and accepted after
Shopify has it. Before values are sent or the discount is ended, both count as unknown. So a process
that dies leaves at most one call whose outcome is unknown, and that call is made again.

No step lets anybody use a code who may not. Those who left are removed first. A discount never
loses its last target, because it could then be for everybody: it is ended instead, and keeps that
target.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from service.core.config import Settings
from service.core.db import tenant_transaction
from service.promo_codes.codes import amount_of
from service.promo_codes.ledger import Ledger
from service.promo_codes.plan import Kind, NotBuiltError, Plan, Problem, plan_targets
from service.queue.progress import RunProgress
from service.shopify.client import ShopifyClient
from service.shopify.discounts import (
    DiscountRefusedError,
    DiscountState,
    PromoCode,
    Targets,
    change_code,
    change_targets,
    create_code,
    deactivate_code,
    delete_code,
    find_code,
    find_existing,
    read_discount,
    withdraw_code,
)

_TAKEN_CODES = frozenset({"TAKEN", "DUPLICATE"})
_TOO_MANY_CODE = "EXCEEDED_MAX"
# What Shopify's clock and ours may differ by.
_CLOCK_SKEW = timedelta(hours=1)
_GONE = Problem(
    "discount_deleted",
    "The discount was deleted in Shopify.",
    "Try again to create it once more, or delete the promo code.",
)
_ENDED = Problem(
    "discount_ended",
    "Somebody ended the discount in Shopify.",
    "Try again to let it work again, or deactivate the promo code here, too.",
)
_CHANGED_ADVICE = (
    "Try again to restore who may use it. Or deactivate the promo code, and make one for others."
)
_TAKEN = Problem(
    "code_taken",
    "Your shop has another discount with this code.",
    "Delete that one in Shopify and try again. Or delete this promo code and choose another code.",
)

_Call = Callable[[Sequence[str]], None]


class _ProblemError(Exception):
    """A problem that ends the update."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.kind)
        self.problem = problem


class Update:
    """The update of one promo code, a row of ``app.promo_codes``."""

    def __init__(
        self,
        settings: Settings,
        client: ShopifyClient,
        ledger: Ledger,
        progress: RunProgress,
        code: dict[str, Any],
    ) -> None:
        self._settings = settings
        self._client = client
        self._ledger = ledger
        self._progress = progress
        self._code = code
        self._discount_id: str | None = code["discount_id"]
        self._needs_values: bool = code["applied_revision"] < code["revision"]
        # Whether Quintile ended it, and it has not been revived in Shopify since.
        self._is_ended: bool = code["is_ended"]

    def apply(self) -> Problem | None:
        """Give Shopify what is wanted; returns the problem if that is not possible.

        A code that was to be deleted is deleted afterwards.

        Raises:
            ShopifyError: As :meth:`ShopifyClient.run`; what was accepted is recorded.
        """
        try:
            if self._code["wanted"] == "active":
                return self._activate()
            if self._code["wanted"] == "deactivated":
                self._deactivate()
            else:
                self._delete()
        except DiscountRefusedError as error:
            if error.is_gone:
                self._ledger.record_gone()
                return _GONE
            return _refusal(error)
        except _ProblemError as error:
            return error.problem
        return None

    # -- what is wanted -------------------------------------------------------------------------

    def _delete(self) -> None:
        if self._is_sent():
            self._find_lost()
        if self._discount_id is not None:
            delete_code(self._client, self._discount_id)
        self._ledger.delete()
        self._progress.count(deleted=1)

    def _deactivate(self) -> None:
        if self._is_sent():
            self._find_lost()
        if self._discount_id is not None:
            self._end()

    def _activate(self) -> Problem | None:
        plan = self._plan()
        kind = plan.kind
        changed = self._check_discount(kind)
        if self._ledger.count_accepted(kind):
            self._remove(plan)
            refused = self._try_to_add(plan)
        else:
            # The first target must come before the last one of the other kind goes.
            refused = self._try_to_add(plan)
            self._remove(plan)
        if self._discount_id is not None:
            if not self._ledger.count_accepted(kind):
                self._end()
            elif self._needs_values or (self._code["is_ended"] and not self._has_expired()):
                self._give_values(self._discount_id)
                if changed is not None and changed.kind == "discount_renamed":
                    # It has its own code again.
                    changed = None
        return refused or plan.problem or self._describe_refused(plan) or changed

    # -- steps ----------------------------------------------------------------------------------

    def _plan(self) -> Plan:
        most = self._settings.promo_code_customers
        try:
            with tenant_transaction(self._ledger.pool, self._ledger.tenant_id) as conn:
                return plan_targets(conn, self._ledger.tenant_id, self._code, most)
        except NotBuiltError as error:
            raise _ProblemError(Problem("not_built", error.message, error.advice)) from None

    def _is_sent(self) -> bool:
        """Whether a creation was sent whose answer is not known."""
        return self._discount_id is None and self._code["sent_title"] is not None

    def _check_discount(self, kind: Kind) -> Problem | None:
        """Check that the discount is still there; before its creation, that the code is free.

        Returns the problem if a person ended it in Shopify, gave it another code, or changed who
        may use it. While values are to be sent, as when a person tries again, the code and the
        targets are restored instead. A discount that Quintile ended and a person revived there
        counts as not ended, so that it is ended again if it has no customers.

        Raises:
            _ProblemError: It was deleted, or the code is another discount's.
        """
        if self._discount_id is None:
            if not self._find_lost():
                # Whatever was sent before was not created.
                self._ledger.record_sent(None)
                raise _ProblemError(_TAKEN)
            return None
        found = read_discount(self._client, self._discount_id)
        if found is None:
            self._ledger.record_gone()
            raise _ProblemError(_GONE)
        # Values that are to be sent have the code.
        is_renamed = found.code.casefold() != self._code["code"].casefold()
        renamed = _renamed(found.code) if is_renamed and not self._needs_values else None
        changed = self._check_targets(found, kind)
        if found.status != "EXPIRED":
            self._is_ended = False
            return renamed or changed
        # While values are to be sent, Quintile may have ended it and not got the answer.
        is_ours = self._is_ended or self._needs_values or self._has_expired(_CLOCK_SKEW)
        return renamed or (changed if is_ours else _ENDED)

    def _check_targets(self, found: DiscountState, kind: Kind) -> Problem | None:
        """Compare who may use the code in Shopify with what it has accepted.

        Returns the problem if somebody changed it there, or restores it while values are to be
        sent. Adding a target of one kind takes those of the other away, and everybody.
        """
        ids = found.segment_ids if kind == "segment" else found.customer_ids
        added, removed = self._ledger.compare(kind, ids)
        if removed:
            existing = find_existing(self._client, _targets(kind, removed))
            # Shopify drops targets that it has deleted; that is not an edit.
            self._ledger.forget(kind, [each for each in removed if each not in existing])
            removed = [each for each in removed if each in existing]
        if self._needs_values:
            self._ledger.restore(kind, added=added, removed=removed)
            return None
        if not (added or removed or found.is_everybody):
            return None
        who = "everybody may use it" if found.is_everybody else f"{len(added):,} added"
        return Problem(
            "targets_changed",
            f"Somebody changed who may use the code in Shopify: {who}, {len(removed):,} removed.",
            _CHANGED_ADVICE,
        )

    def _find_lost(self) -> bool:
        """Find the discount whose creation was sent by a process that died before the answer.

        A creation is sent only after the code was found free. So a discount that has it now, with
        the title that was sent, is the one that was created. Returns False if another one has it.
        """
        found = find_code(self._client, self._code["code"])
        if found is None:
            return True
        if not self._is_sent() or found.title != self._code["sent_title"]:
            return False
        self._ledger.record_found(found.discount_id)
        self._discount_id, self._needs_values = found.discount_id, True
        return True

    def _try_to_add(self, plan: Plan) -> Problem | None:
        """Add targets; if Shopify refuses them, the other steps are taken all the same."""
        try:
            self._add(plan)
        except DiscountRefusedError as error:
            if error.is_gone:
                raise
            return _refusal(error)
        return None

    def _add(self, plan: Plan) -> None:
        """Send the targets that Shopify does not have; the first ones create the discount."""
        while plan.problem is None and (batch := self._ledger.next_targets(plan.kind, "adding")):

            def add(targets: Sequence[str]) -> None:
                self._add_targets(plan, targets)

            _send(batch, add, lambda unknown: self._ledger.refuse(plan.kind, unknown))

    def _add_targets(self, plan: Plan, batch: Sequence[str]) -> None:
        targets = _targets(plan.kind, batch)
        if self._discount_id is None:
            self._create(plan, batch, targets)
        else:
            change_targets(self._client, self._discount_id, add=targets)
            self._ledger.accept(plan.kind, batch)
        self._progress.count(added=len(batch))

    def _create(self, plan: Plan, batch: Sequence[str], targets: Targets) -> None:
        promo = self._promo()
        self._ledger.record_sent(promo.title)
        try:
            discount_id = create_code(self._client, promo, targets)
        except DiscountRefusedError as error:
            # It was certainly not created.
            self._ledger.record_sent(None)
            if error.code in _TAKEN_CODES:
                raise _ProblemError(_TAKEN) from None
            raise
        self._ledger.record_created(discount_id, self._code["revision"], plan.kind, batch)
        self._discount_id, self._needs_values = discount_id, False
        self._progress.count(created=1)

    def _remove(self, plan: Plan) -> None:
        """Remove those who may no longer use the code, as long as somebody stays."""
        while (
            self._discount_id is not None
            and self._ledger.count_accepted(plan.kind)
            and (batch := self._ledger.next_targets(plan.kind, "removing"))
        ):
            discount_id = self._discount_id

            def remove(targets: Sequence[str], discount_id: str = discount_id) -> None:
                change_targets(self._client, discount_id, remove=_targets(plan.kind, targets))
                self._ledger.remove(plan.kind, targets)

            # One that Shopify does not know cannot use the code.
            _send(batch, remove, lambda unknown: self._ledger.remove(plan.kind, unknown))
            self._progress.count(removed=len(batch))

    def _end(self) -> None:
        """End the discount; it keeps the targets that it has."""
        if self._is_ended or self._discount_id is None:
            return
        # Values that are still to be sent may include the start; then Shopify has another one.
        has_begun = not self._needs_values and self._code["starts_at"] <= datetime.now(UTC)
        end = deactivate_code if has_begun else withdraw_code
        self._ledger.record_unknown()
        try:
            end(self._client, self._discount_id)
        except DiscountRefusedError as error:
            if not error.is_gone or self._code["wanted"] == "active":
                raise
        # A withdrawn one has other dates than those of any revision.
        revision = self._code["applied_revision"] if has_begun else 0
        self._ledger.record_ended(self._discount_id, revision)

    def _give_values(self, discount_id: str) -> None:
        """Give the discount all values; with them it also works again if it was ended."""
        self._ledger.record_unknown()
        change_code(self._client, discount_id, self._promo())
        self._ledger.record_values(
            discount_id, self._code["revision"], has_resumed=self._code["is_ended"]
        )

    def _has_expired(self, ahead: timedelta = timedelta()) -> bool:
        ends_at = self._code["ends_at"]
        return ends_at is not None and ends_at <= datetime.now(UTC) + ahead

    def _describe_refused(self, plan: Plan) -> Problem | None:
        """The problem if Shopify did not know a segment; a customer who is gone is none."""
        if plan.kind == "customer" or not self._ledger.next_targets(plan.kind, "refused"):
            return None
        return Problem(
            "segment_deleted",
            "Shopify no longer has one of the promo code's segments.",
            "Sync Shopify's segments, then change the segments of the promo code.",
        )

    def _promo(self) -> PromoCode:
        code = self._code
        return PromoCode(
            code=code["code"],
            title=code["title"],
            starts_at=code["starts_at"],
            percentage=code["percentage"],
            amount=amount_of(code),
            ends_at=code["ends_at"],
            usage_limit=code["usage_limit"],
            is_once_per_customer=code["is_once_per_customer"],
        )


def _refusal(error: DiscountRefusedError) -> Problem:
    kind = "too_many_customers" if error.code == _TOO_MANY_CODE else "refused"
    return Problem(kind, error.message, error.advice)


def _renamed(code: str) -> Problem:
    return Problem(
        "discount_renamed",
        f"The discount has the code '{code[:100]}' in Shopify now.",
        "Try again to give it its code back, or delete the promo code.",
    )


def _targets(kind: Kind, ids: Sequence[str]) -> Targets:
    return Targets(segment_ids=ids) if kind == "segment" else Targets(customer_ids=ids)


def _send(batch: Sequence[str], call: _Call, set_apart: _Call) -> None:
    """Send a batch. Shopify refuses it as a whole for one unknown target, which is set apart."""
    try:
        call(batch)
    except DiscountRefusedError as error:
        if not error.is_unknown_target:
            raise
        if len(batch) == 1:
            set_apart(batch)
            return
        middle = len(batch) // 2
        _send(batch[:middle], call, set_apart)
        _send(batch[middle:], call, set_apart)
