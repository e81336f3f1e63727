"""Variables for promo codes fit Shopify's input types; its answers were recorded."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from graphql import GraphQLSchema, OperationDefinitionNode, parse
from graphql.execution.values import get_variable_values

from sandbox import Sandbox
from service.core.config import Settings
from service.shopify.client import ShopifyClient, document, open_shopify
from service.shopify.discounts import (
    DiscountRefusedError,
    PromoCode,
    Targets,
    _raise_user_errors,
    create_code,
)

from .conftest import spec_path

STARTS = datetime(2026, 6, 1, 12, 30, tzinfo=UTC)


class Listening:
    """A client that remembers what it has sent."""

    def __init__(self, client: ShopifyClient) -> None:
        self.client = client
        self.sent: list[tuple[str, dict[str, Any]]] = []

    def run(self, name: str, *, is_repeatable: bool = True, **variables: Any) -> dict[str, Any]:
        self.sent.append((name, variables))
        return self.client.run(name, is_repeatable=is_repeatable, **variables)


@pytest.fixture
def client(sandbox: Sandbox) -> Iterator[Listening]:
    store = next(iter(sandbox.stores.values()))
    settings = Settings(shopify_url=sandbox.shopify_url)
    with open_shopify(settings, store.data.domain, store.data.token) as client:
        yield Listening(client)


@pytest.mark.parametrize("kind", ["everybody", "segments", "customers"])
def test_variables_fit_shopifys_input_types(
    client: Listening, sandbox: Sandbox, official_shopify: GraphQLSchema, kind: str
) -> None:
    store = next(iter(sandbox.stores.values()))
    targets = {
        "everybody": Targets(is_everybody=True),
        "segments": Targets(segment_ids=[str(number) for number in store.segments]),
        "customers": Targets(customer_ids=[str(number) for number in list(store.customers)[:300]]),
    }[kind]
    promo = PromoCode(f"CODE-{kind}", kind, STARTS, amount=Decimal("7.50"), usage_limit=3)
    create_code(client, promo, targets)
    updates = 1 if kind == "customers" else 0
    assert [name for name, _ in client.sent] == ["discount_create"] + ["discount_update"] * updates
    for name, variables in client.sent:
        (operation,) = parse(document(name)).definitions
        assert isinstance(operation, OperationDefinitionNode)
        fitted = get_variable_values(
            official_shopify, operation.variable_definitions or (), variables
        )
        assert not isinstance(fitted, list), fitted


def test_a_recorded_refusal_is_explained() -> None:
    path = spec_path("shopify", "recordings", "discount-context-customer-selection-conflict.json")
    recorded = json.loads(path.read_text(encoding="utf-8"))
    payload = recorded["basicUpdate"]["response"]["data"]["discountCodeBasicUpdate"]
    with pytest.raises(DiscountRefusedError) as raised:
        _raise_user_errors(payload)
    assert (raised.value.code, raised.value.field) == ("INVALID", "basicCodeDiscount.context")
    assert raised.value.message == (
        "Shopify refused the context: Only one of context or customerSelection can be provided."
    )


def test_a_recorded_creation_is_read() -> None:
    path = spec_path("shopify", "recordings", "discount-buyer-context-lifecycle.json")
    recorded = json.loads(path.read_text(encoding="utf-8"))
    payload = recorded["codeCreate"]["payload"]["data"]["discountCodeBasicCreate"]
    assert _raise_user_errors(payload) == payload["codeDiscountNode"]["id"]
