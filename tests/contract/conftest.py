"""The official specifications, which lie beside the repository, and a sandbox to compare."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from graphql import GraphQLSchema, build_schema

from sandbox import Sandbox
from sandbox.data import StoreData, anchor_at, generate_stores
from sandbox.klaviyo import seeded_accounts
from sandbox.shopify import Store

ROOT = Path(__file__).resolve().parents[2]
SPECS = ROOT.parent / "shared" / "specs"


def spec_path(*parts: str) -> Path:
    path = SPECS.joinpath(*parts)
    if not path.exists():
        pytest.skip(f"the official specification {'/'.join(parts)} is not beside the repository")
    return path


@pytest.fixture(scope="session")
def official_shopify() -> GraphQLSchema:
    text = spec_path("shopify", "admin-2026-07.graphql").read_text(encoding="utf-8")
    # Locations of 111,000 lines would only cost memory; Shopify's own schema is taken as valid.
    return build_schema(text, no_location=True, assume_valid=True)


@pytest.fixture(scope="session")
def klaviyo_openapi() -> dict[str, Any]:
    text = spec_path("klaviyo", "openapi-2026-07-15.json").read_text(encoding="utf-8")
    document: dict[str, Any] = json.loads(text)
    return document


@pytest.fixture(scope="session")
def generated_stores() -> list[StoreData]:
    return generate_stores(1, anchor_at(date(2026, 7, 1)))


@pytest.fixture
def sandbox(generated_stores: list[StoreData]) -> Iterator[Sandbox]:
    """Servers of its own for each test, over data generated once."""
    stores = [Store(data) for data in generated_stores]
    with Sandbox(stores, seeded_accounts(generated_stores)) as running:
        yield running
