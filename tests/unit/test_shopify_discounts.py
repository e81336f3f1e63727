"""Promo codes: created once, for any number of targets, with refusals explained."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
import stamina

from sandbox import Fault, Sandbox
from sandbox.data import generate_store
from sandbox.data.specs import KESSEL
from sandbox.shopify import Store
from sandbox.shopify.discounts import Discount as Stored
from sandbox.shopify.store import ALL_SCOPES
from service.core.config import Settings
from service.core.errors import InvalidInputError
from service.shopify.client import ShopifyClient, open_shopify
from service.shopify.discounts import (
    Discount,
    DiscountRefusedError,
    PromoCode,
    Targets,
    TargetsIncompleteError,
    _raise_user_errors,
    change_code,
    change_targets,
    create_code,
    deactivate_code,
    delete_code,
    find_code,
)
from service.shopify.errors import (
    ShopifyDeniedError,
    ShopifyQueryError,
    ShopifyRefusedError,
    ShopifyUnknownOutcomeError,
)

STARTS = datetime(2026, 6, 1, tzinfo=UTC)
TWENTY = PromoCode("CREATOR20", "Creators", STARTS, percentage=Decimal("0.2"))
EVERYBODY = Targets(is_everybody=True)


@pytest.fixture(scope="module")
def data() -> Any:
    return generate_store(KESSEL, 1, datetime(2026, 7, 1, tzinfo=UTC))


@pytest.fixture
def store(data: Any) -> Store:
    return Store(data)


@pytest.fixture
def shop(store: Store) -> Iterator[Sandbox]:
    with Sandbox([store], []) as sandbox:
        yield sandbox


@pytest.fixture
def client(shop: Sandbox, store: Store) -> Iterator[ShopifyClient]:
    settings = Settings(shopify_url=shop.shopify_url)
    with open_shopify(settings, store.data.domain, store.data.token) as client:
        yield client


def only(store: Store) -> Stored:
    (discount,) = store.discounts.values()
    return discount


def numbers(store: Store, kind: str) -> set[str]:
    return {str(number) for found, number in only(store).targets if found == kind}


def buyers(store: Store, count: int) -> list[str]:
    return [str(number) for number in sorted(store.customers)[:count]]


# -- creating -----------------------------------------------------------------------------------


def test_a_code_is_created_as_described(client: ShopifyClient, store: Store) -> None:
    promo = replace(
        TWENTY,
        ends_at=datetime(2026, 8, 1, tzinfo=UTC),
        usage_limit=100,
        is_once_per_customer=True,
    )
    discount_id = create_code(client, promo, EVERYBODY)
    made = only(store)
    assert discount_id == f"gid://shopify/DiscountCodeNode/{made.number}"
    assert (made.code, made.title, made.percentage) == ("CREATOR20", "Creators", 0.2)
    assert (made.starts_at, made.ends_at) == (promo.starts_at, promo.ends_at)
    assert (made.usage_limit, made.is_once_per_customer, made.targets) == (100, True, {})


def test_an_amount_is_exact(client: ShopifyClient, store: Store) -> None:
    create_code(client, PromoCode("FIVE", "Five", STARTS, amount=Decimal("5.10")), EVERYBODY)
    assert only(store).amount == Decimal("5.10")
    assert only(store).percentage is None


def test_a_code_is_for_segments(client: ShopifyClient, store: Store) -> None:
    chosen = [str(number) for number in sorted(store.segments)[:2]]
    create_code(client, TWENTY, Targets(segment_ids=chosen))
    assert numbers(store, "Segment") == set(chosen)


def test_targets_beyond_one_call_are_added_by_updates(client: ShopifyClient, store: Store) -> None:
    chosen = buyers(store, 601)
    create_code(client, TWENTY, Targets(customer_ids=chosen))
    assert numbers(store, "Customer") == set(chosen)
    assert client.calls == 3


# -- changing -----------------------------------------------------------------------------------


def test_adding_and_removing_targets_may_be_repeated(client: ShopifyClient, store: Store) -> None:
    chosen = buyers(store, 300)
    discount_id = create_code(client, TWENTY, Targets(customer_ids=chosen[:3]))
    for _ in range(2):
        change_targets(
            client,
            discount_id,
            add=Targets(customer_ids=chosen[2:]),
            remove=Targets(customer_ids=chosen[:2]),
        )
        assert numbers(store, "Customer") == set(chosen[2:])
    assert only(store).code == "CREATOR20"


def test_segments_replace_customers(client: ShopifyClient, store: Store) -> None:
    discount_id = create_code(client, TWENTY, Targets(customer_ids=buyers(store, 2)))
    segment = str(min(store.segments))
    change_targets(client, discount_id, add=Targets(segment_ids=[segment]))
    assert numbers(store, "Segment") == {segment}
    assert numbers(store, "Customer") == set()


def test_a_code_is_found_whatever_its_case_and_can_be_ended(
    client: ShopifyClient, store: Store
) -> None:
    assert find_code(client, "creator20") is None
    discount_id = create_code(client, TWENTY, EVERYBODY)
    assert find_code(client, "creator20") == Discount(discount_id, "Creators", "ACTIVE")
    for _ in range(2):
        deactivate_code(client, discount_id)
        assert find_code(client, "CREATOR20") == Discount(discount_id, "Creators", "EXPIRED")


def test_changed_values_keep_the_targets_and_revive_an_ended_code(
    client: ShopifyClient, store: Store
) -> None:
    chosen = buyers(store, 2)
    discount_id = create_code(client, TWENTY, Targets(customer_ids=chosen))
    deactivate_code(client, discount_id)
    changed = replace(TWENTY, title="New", percentage=None, amount=Decimal("2.50"), usage_limit=9)
    change_code(client, discount_id, changed)
    assert (only(store).title, only(store).percentage, only(store).amount, only(store).ends_at) == (
        *("New", None, Decimal("2.50")),
        None,
    )
    assert only(store).usage_limit == 9
    assert numbers(store, "Customer") == set(chosen)


def test_deleting_may_be_repeated_and_frees_the_code(client: ShopifyClient, store: Store) -> None:
    kept = create_code(client, replace(TWENTY, code="KEPT"), EVERYBODY)
    discount_id = create_code(client, TWENTY, EVERYBODY)
    for _ in range(2):
        delete_code(client, discount_id)
        assert find_code(client, "CREATOR20") is None
    assert create_code(client, TWENTY, EVERYBODY) != kept


def test_a_code_for_nobody_is_not_made_for_everybody() -> None:
    for targets in ({}, {"customer_ids": ["1"], "is_everybody": True}):
        with pytest.raises(InvalidInputError, match="for customers or for everybody"):
            Targets(**targets)


# -- refusals -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("promo", "targets", "code", "field", "message"),
    [
        (TWENTY, EVERYBODY, "TAKEN", "code", "The shop already has this code."),
        (replace(TWENTY, code=""), EVERYBODY, "BLANK", "code", "The code is missing."),
        (replace(TWENTY, code="x" * 256), EVERYBODY, "TOO_LONG", "code", "The code is too long."),
        (replace(TWENTY, code="B", title=""), EVERYBODY, "BLANK", "title", "The title is missing."),
        (
            replace(TWENTY, code="B", ends_at=datetime(2026, 5, 1, tzinfo=UTC)),
            EVERYBODY,
            "INVALID",
            "endsAt",
            "The code would end before it starts.",
        ),
        (
            replace(TWENTY, code="B", usage_limit=0),
            EVERYBODY,
            "GREATER_THAN",
            "usageLimit",
            "The usage limit is too small.",
        ),
        (
            replace(TWENTY, code="B"),
            Targets(segment_ids=["999"]),
            "INVALID",
            "context.customerSegments.add",
            "The shop does not have a segment that the code is for: Segment is invalid.",
        ),
        (
            replace(TWENTY, code="B"),
            Targets(customer_ids=["999"]),
            "INVALID",
            "context.customers.add",
            "The shop does not have a customer that the code is for: Customer is invalid.",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) and value.isupper() else "",
)
def test_user_errors_are_explained_with_their_field(
    client: ShopifyClient,
    store: Store,
    promo: PromoCode,
    targets: Targets,
    code: str,
    field: str,
    message: str,
) -> None:
    create_code(client, TWENTY, EVERYBODY)
    with pytest.raises(DiscountRefusedError) as raised:
        create_code(client, promo, targets)
    assert (raised.value.code, raised.value.message) == (code, message)
    assert raised.value.is_unknown_target == field.startswith("context.")
    assert not raised.value.is_gone
    assert raised.value.field == f"basicCodeDiscount.{field}"
    assert len(store.discounts) == 1


def value(**given: Any) -> dict[str, Any]:
    return {
        "code": "A",
        "title": "A",
        "startsAt": "2026-06-01T00:00:00Z",
        "context": {"all": "ALL"},
        "customerGets": {"value": given, "items": {"all": True}},
    }


def test_the_sandbox_answers_values_at_their_bounds_as_recorded(
    client: ShopifyClient, store: Store
) -> None:
    """Recorded with 2026-04: a negative amount is "less than or equal to", and 0 is accepted."""
    minus = value(discountAmount={"amount": "-5", "appliesOnEachItem": False})
    answer = client.run("discount_create", discount=minus)["discountCodeBasicCreate"]
    assert answer["userErrors"] == [
        {
            "code": "LESS_THAN_OR_EQUAL_TO",
            "field": ["basicCodeDiscount", "customerGets", "value", "discountAmount", "amount"],
            "message": "Value must be less than or equal to 0",
        }
    ]
    with pytest.raises(DiscountRefusedError, match=r"^The amount must be above 0\.$"):
        _raise_user_errors(answer)
    assert store.discounts == {}
    for percentage in (-0.1, 1.5):
        answer = client.run("discount_create", discount=value(percentage=percentage))
        (problem,) = answer["discountCodeBasicCreate"]["userErrors"]
        assert problem["code"] == "VALUE_OUTSIDE_RANGE"
    for number, accepted in enumerate(
        ({"percentage": 0}, {"discountAmount": {"amount": "0", "appliesOnEachItem": False}})
    ):
        discount = {**value(**accepted), "code": f"ZERO{number}"}
        answer = client.run("discount_create", discount=discount)["discountCodeBasicCreate"]
        assert answer["userErrors"] == []


def test_a_missing_discount_is_reported(client: ShopifyClient) -> None:
    for change in (
        lambda: deactivate_code(client, "gid://shopify/DiscountCodeNode/1"),
        lambda: change_targets(
            client, "gid://shopify/DiscountCodeNode/1", add=Targets(customer_ids=["1"])
        ),
    ):
        with pytest.raises(DiscountRefusedError, match="no longer has this discount") as raised:
            change()
        assert raised.value.is_gone
        assert not raised.value.is_unknown_target


def test_a_refusal_without_a_known_reason_shows_shopifys_words(
    client: ShopifyClient, store: Store
) -> None:
    """Both ways to choose buyers at once, which the client never sends."""
    with pytest.raises(ShopifyQueryError, match="OneOf"):
        client.run("discount_create", discount={"context": {"all": "ALL", "customers": {}}})
    answer = client.run(
        "discount_create",
        discount={
            "code": "A",
            "title": "A",
            "startsAt": "2026-06-01T00:00:00Z",
            "customerGets": {"value": {"percentage": 0.1}, "items": {"all": True}},
            "context": {"all": "ALL"},
            "customerSelection": {"all": True},
        },
    )["discountCodeBasicCreate"]
    assert answer["userErrors"] == [
        {
            "code": "INVALID",
            "field": ["basicCodeDiscount", "context"],
            "message": "Only one of context or customerSelection can be provided.",
        }
    ]
    assert store.discounts == {}


def test_a_list_longer_than_shopify_allows_is_refused_as_a_whole(
    client: ShopifyClient, store: Store
) -> None:
    discount_id = create_code(client, TWENTY, EVERYBODY)
    gids = [f"gid://shopify/Customer/{number}" for number in buyers(store, 251)]
    with pytest.raises(ShopifyQueryError, match="251 is greater than the maximum") as raised:
        client.run(
            "discount_update",
            id=discount_id,
            discount={"context": {"customers": {"add": gids}}},
        )
    assert raised.value.codes == {"MAX_INPUT_SIZE_EXCEEDED"}


def test_a_missing_scope_is_named(client: ShopifyClient, store: Store) -> None:
    store.scopes = ALL_SCOPES - {"write_discounts"}
    with pytest.raises(ShopifyDeniedError, match="write_discounts"):
        create_code(client, TWENTY, EVERYBODY)
    with pytest.raises(ShopifyRefusedError, match="read_discounts"):
        find_code(client, "CREATOR20")
    store.scopes = frozenset({"read_discounts"})
    assert find_code(client, "CREATOR20") is None


def test_an_invalid_promo_code_is_refused_without_a_call() -> None:
    for wrong in (Decimal(0), Decimal("1.01"), Decimal(20)):
        with pytest.raises(InvalidInputError, match="above 0 and at most 1"):
            replace(TWENTY, percentage=wrong)
    for wrong in (Decimal(0), Decimal(-5), Decimal("-0.01"), Decimal("NaN"), Decimal("Infinity")):
        with pytest.raises(InvalidInputError, match="amount must be above 0") as raised:
            replace(TWENTY, percentage=None, amount=wrong)
        assert raised.value.field == "amount"
    with pytest.raises(InvalidInputError, match="above 0 and at most 1"):
        replace(TWENTY, percentage=Decimal("NaN"))
    with pytest.raises(InvalidInputError, match="either a percentage or an amount"):
        replace(TWENTY, amount=Decimal(5))
    with pytest.raises(InvalidInputError, match="time zone"):
        replace(TWENTY, starts_at=STARTS.replace(tzinfo=None))
    with pytest.raises(InvalidInputError, match="not for both"):
        Targets(segment_ids=["1"], customer_ids=["2"])


# -- lost answers -------------------------------------------------------------------------------


def test_a_creation_whose_answer_is_lost_is_found_and_not_repeated(
    client: ShopifyClient, store: Store, shop: Sandbox
) -> None:
    shop.fail_shopify(Fault(truncate=True))
    chosen = buyers(store, 260)
    discount_id = create_code(client, TWENTY, Targets(customer_ids=chosen))
    assert find_code(client, "CREATOR20") == Discount(discount_id, "Creators", "ACTIVE")
    assert numbers(store, "Customer") == set(chosen)


def test_a_creation_that_never_arrived_is_repeated(
    client: ShopifyClient, store: Store, shop: Sandbox
) -> None:
    shop.fail_shopify(Fault(status=502, html=True))
    create_code(client, TWENTY, EVERYBODY)
    assert only(store).code == "CREATOR20"


def test_a_throttled_creation_is_retried(
    client: ShopifyClient, store: Store, shop: Sandbox
) -> None:
    shop.fail_shopify(Fault(status=429, retry_after=0))
    create_code(client, TWENTY, EVERYBODY)
    assert client.calls == 2
    assert only(store).code == "CREATOR20"


def test_another_discount_with_the_code_is_not_taken_for_the_lost_one(
    client: ShopifyClient, store: Store, shop: Sandbox
) -> None:
    create_code(client, replace(TWENTY, title="Theirs"), EVERYBODY)
    shop.fail_shopify(Fault(truncate=True))
    with pytest.raises(DiscountRefusedError) as raised:
        create_code(client, TWENTY, EVERYBODY)
    assert raised.value.code == "TAKEN"
    assert only(store).title == "Theirs"


def test_a_creation_that_is_lost_twice_raises(
    client: ShopifyClient, store: Store, shop: Sandbox
) -> None:
    lost = Fault(status=502)
    # The look-up in between is also a request.
    shop.fail_shopify(lost, Fault(delay=0.001), lost)
    with pytest.raises(ShopifyUnknownOutcomeError, match="was lost"):
        create_code(client, TWENTY, EVERYBODY)
    assert store.discounts == {}


def test_a_lost_creation_that_cannot_be_looked_up_stays_unknown(
    client: ShopifyClient, store: Store, shop: Sandbox
) -> None:
    shop.fail_shopify(Fault(truncate=True), Fault(status=503, count=2))
    with (
        stamina.set_testing(True, attempts=2),
        pytest.raises(
            ShopifyUnknownOutcomeError, match="answer to discount_create was lost"
        ) as raised,
    ):
        create_code(client, TWENTY, EVERYBODY)
    assert "check in Shopify" in raised.value.advice
    # It was created after all, so it is refused now.
    with pytest.raises(DiscountRefusedError, match="already has this code"):
        create_code(client, TWENTY, EVERYBODY)


def test_targets_that_could_not_be_added_are_counted(
    client: ShopifyClient, store: Store, shop: Sandbox
) -> None:
    chosen = buyers(store, 600)
    with pytest.raises(TargetsIncompleteError, match="500 of its 601 targets") as raised:
        create_code(client, TWENTY, Targets(customer_ids=[*chosen, "999"]))
    assert raised.value.done == 500
    assert numbers(store, "Customer") == set(chosen[:500])
    change_targets(client, raised.value.discount_id, add=Targets(customer_ids=chosen))
    assert numbers(store, "Customer") == set(chosen)


def test_an_update_whose_answer_is_lost_is_repeated(
    client: ShopifyClient, store: Store, shop: Sandbox
) -> None:
    chosen = buyers(store, 2)
    discount_id = create_code(client, TWENTY, Targets(customer_ids=chosen[:1]))
    shop.fail_shopify(Fault(truncate=True))
    with stamina.set_testing(True, attempts=2):
        change_targets(client, discount_id, add=Targets(customer_ids=chosen[1:]))
    assert numbers(store, "Customer") == set(chosen)
