"""Tokens that expire: refreshed by one process at a time, and stored as a complete pair."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
import stamina

from sandbox import Fault, Sandbox
from sandbox.data import generate_store
from sandbox.data.specs import KESSEL
from sandbox.shopify import Store
from sandbox.shopify.tokens import CLIENT_ID, CLIENT_SECRET
from service.core.config import Settings
from service.core.db import Connection, Pool, one, tenant_transaction
from service.core.errors import InvalidInputError
from service.core.queries import query
from service.shopify.connection import connect_shopify, open_connected_shopify
from service.shopify.errors import ShopifyRefusedError, ShopifyUnavailableError
from service.shopify.tokens import MissingClientError, TokenSet, parse_tokens, read_stored
from tests.conftest import MakeTenant

TOKEN_PATH = "/admin/oauth/access_token"
SHOP = KESSEL.domain


@pytest.fixture(scope="module")
def store() -> Store:
    return Store(generate_store(KESSEL, 1, datetime(2026, 7, 1, tzinfo=UTC)))


@pytest.fixture
def shop(store: Store) -> Iterator[Sandbox]:
    with Sandbox([store], []) as sandbox, stamina.set_testing(True, attempts=3):
        yield sandbox


@pytest.fixture
def here(shopify_settings: Settings) -> Settings:
    return replace(
        shopify_settings,
        shopify_client_id=CLIENT_ID,
        shopify_client_secret=f"an older secret, {CLIENT_SECRET}",
    )


@pytest.fixture
def issued(shop: Sandbox) -> dict[str, Any]:
    return shop.tokens.issue(SHOP)


@pytest.fixture
def tenant(here: Settings, pool: Pool, make_tenant: MakeTenant, issued: dict[str, Any]) -> UUID:
    tenant_id = make_tenant("kessel", SHOP)
    connect_shopify(here, pool, tenant_id, SHOP, json.dumps(issued))
    return tenant_id


Ask = Callable[[], str]


@pytest.fixture
def ask(here: Settings, pool: Pool, tenant: UUID) -> Ask:
    def run() -> str:
        with open_connected_shopify(here, pool, tenant) as client:
            return str(client.run("shop")["shop"]["name"])

    return run


def refreshes(shop: Sandbox) -> list[int]:
    return [entry.status for entry in shop.shopify_requests() if entry.path == TOKEN_PATH]


def stored(here: Settings, pool: Pool, tenant: UUID) -> str:
    with tenant_transaction(pool, tenant) as conn:
        found = read_stored(here, conn, tenant)
    assert found
    return found.tokens.access_token


def row_of(owner: Connection) -> dict[str, Any]:
    return one(owner.execute("select * from app.connections").fetchone())


def end_within(owner: Connection, seconds: int) -> None:
    """Let the stored access token expire soon."""
    owner.execute(
        "update app.connections set access_expires_at = now() + make_interval(secs => %s)",
        [seconds],
    )


def test_a_pair_is_encrypted_as_a_whole_and_used_until_it_expires(
    ask: Ask, shop: Sandbox, owner: Connection, issued: dict[str, Any]
) -> None:
    assert ask() == KESSEL.name
    assert refreshes(shop) == []
    row = row_of(owner)
    assert row["last_four"] == issued["access_token"][-4:]
    assert 3500 < (row["access_expires_at"] - row["verified_at"]).total_seconds() <= 3600
    assert (row["refresh_expires_at"] - row["verified_at"]).days == 90
    for secret in (issued["access_token"], issued["refresh_token"]):
        assert secret not in str(row)
        assert secret.encode() not in bytes(row["sealed_secret"])


def test_a_token_about_to_expire_is_refreshed_before_it_is_used(
    ask: Ask, shop: Sandbox, here: Settings, pool: Pool, tenant: UUID, owner: Connection
) -> None:
    before = stored(here, pool, tenant)
    end_within(owner, 200)
    shop.clear_requests()
    assert ask() == KESSEL.name
    # The older secret was tried first and is not known; the store was asked once, with the new.
    assert refreshes(shop) == [401, 200]
    assert [entry.status for entry in shop.shopify_requests()] == [401, 200, 200]
    assert stored(here, pool, tenant) != before
    row = row_of(owner)
    assert (row["refresher"], row["refresher_until"], row["state"]) == (None, None, "active")
    assert ask() == KESSEL.name
    assert refreshes(shop) == [401, 200]


def test_a_rejected_token_is_refreshed_once_and_the_call_repeated(
    ask: Ask, shop: Sandbox, here: Settings, pool: Pool, tenant: UUID
) -> None:
    before = stored(here, pool, tenant)
    shop.tokens.expire_access_tokens()
    assert ask() == KESSEL.name
    assert refreshes(shop) == [401, 200]
    assert stored(here, pool, tenant) != before


def test_concurrent_clients_refresh_once(
    ask: Ask, shop: Sandbox, here: Settings, pool: Pool, owner: Connection
) -> None:
    # A second use of the refresh token would be refused, as Shopify used to do.
    shop.tokens.is_forgiving = False
    end_within(owner, 1)
    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(lambda _: ask(), range(8))) == [KESSEL.name] * 8
    assert refreshes(shop) == [401, 200]


@pytest.mark.parametrize("fault", [Fault(truncate=True), Fault(status=502, html=True)])
def test_a_refresh_whose_answer_was_lost_is_repeated(
    ask: Ask, shop: Sandbox, owner: Connection, fault: Fault
) -> None:
    end_within(owner, 1)
    shop.fail_shopify(fault.model_copy(update={"path": TOKEN_PATH}))
    assert ask() == KESSEL.name
    assert refreshes(shop)[-1] == 200


def test_after_a_crash_before_the_pair_was_stored_the_next_refresh_works(
    ask: Ask, shop: Sandbox, owner: Connection, issued: dict[str, Any]
) -> None:
    """The answer has arrived and the process dies: Shopify accepts the stored token again."""
    form = {
        "grant_type": "refresh_token",
        "client_id": CLIENT_ID,
        "client_secret": CLIENT_SECRET,
        "refresh_token": issued["refresh_token"],
    }
    _, status = shop.tokens.exchange(form)
    assert status == 200
    # The lease of the dead process has expired.
    owner.execute(
        "update app.connections set refresher = %s, refresher_until = now() - interval '1 second'",
        [uuid4()],
    )
    assert ask() == KESSEL.name
    assert row_of(owner)["state"] == "active"


def test_a_refresh_token_that_is_no_longer_accepted_refuses_the_connection(
    ask: Ask, shop: Sandbox, owner: Connection, issued: dict[str, Any]
) -> None:
    shop.tokens.is_forgiving = False
    shop.tokens.exchange(
        {
            "grant_type": "refresh_token",
            "client_id": CLIENT_ID,
            "client_secret": CLIENT_SECRET,
            "refresh_token": issued["refresh_token"],
        }
    )
    with pytest.raises(ShopifyRefusedError, match="no longer accepts the refresh token") as caught:
        ask()
    assert "connect-shopify" in caught.value.advice
    row = row_of(owner)
    assert row["state"] == "refused"
    assert "refresh token" in row["state_reason"]
    for text in (str(caught.value), repr(caught.value.__context__), str(row)):
        assert issued["refresh_token"] not in text


def test_a_failed_refresh_does_no_harm_while_the_token_is_valid(
    ask: Ask, shop: Sandbox, owner: Connection
) -> None:
    end_within(owner, 200)
    shop.fail_shopify(Fault(status=503, count=3, path=TOKEN_PATH))
    assert ask() == KESSEL.name
    assert row_of(owner)["refresher"] is None


def test_a_failed_refresh_of_an_expired_token_raises_and_keeps_the_pair(
    ask: Ask, shop: Sandbox, owner: Connection
) -> None:
    end_within(owner, -1)
    shop.fail_shopify(Fault(status=503, count=9, path=TOKEN_PATH))
    with pytest.raises(ShopifyUnavailableError, match="503"):
        ask()
    shop.reset_faults()
    assert row_of(owner)["state"] == "active"
    assert ask() == KESSEL.name


def test_only_the_holder_of_the_lease_stores(
    here: Settings, pool: Pool, tenant: UUID, owner: Connection, issued: dict[str, Any]
) -> None:
    """A connection made during a refresh is not overwritten."""
    lease = uuid4()
    owner.execute(
        "update app.connections set refresher = %s, refresher_until = now() + interval '1 hour'",
        [lease],
    )
    connect_shopify(here, pool, tenant, SHOP, KESSEL.token)
    with tenant_transaction(pool, tenant) as conn:
        conn.execute(
            query("shopify.store_refreshed"),
            {
                "tenant_id": tenant,
                "lease": lease,
                "sealed_secret": b"late",
                "key_id": "derived",
                "last_four": "late",
                "expires_in": 60,
                "refresh_expires_in": None,
            },
        )
    assert stored(here, pool, tenant) == KESSEL.token
    assert row_of(owner)["access_expires_at"] is None


def test_without_the_apps_id_and_secret_a_pair_is_refused(
    here: Settings, pool: Pool, make_tenant: MakeTenant, issued: dict[str, Any]
) -> None:
    tenant_id = make_tenant("kessel", SHOP)
    bare = replace(here, shopify_client_id="")
    with pytest.raises(MissingClientError) as caught:
        connect_shopify(bare, pool, tenant_id, SHOP, json.dumps(issued))
    assert "QUINTILE_SHOPIFY_CLIENT_ID" in caught.value.advice


def test_an_unknown_app_does_not_refuse_the_connection(
    here: Settings, pool: Pool, tenant: UUID, owner: Connection
) -> None:
    end_within(owner, 1)
    other = replace(here, shopify_client_secret="not the secret")
    with (
        pytest.raises(MissingClientError, match="does not know the app"),
        open_connected_shopify(other, pool, tenant) as client,
    ):
        client.run("shop")
    assert row_of(owner)["state"] == "active"


def test_a_token_response_is_read_and_an_invalid_one_not_quoted() -> None:
    assert parse_tokens(" shpat_1234 ") == TokenSet("shpat_1234")
    assert parse_tokens('{"access_token": "a", "scope": "x"}') == TokenSet("a")
    pair = {"access_token": "a", "refresh_token": "r", "expires_in": 60}
    assert parse_tokens(json.dumps(pair)) == TokenSet("a", "r", 60)
    # An answer without a lifetime must not make the token look permanent.
    del pair["expires_in"]
    assert parse_tokens(json.dumps(pair)).expires_in == 3600
    for text in ('{"access_token": 1}', '{"refresh_token": "shprt_x"}', '{"shpat_secret'):
        with pytest.raises(InvalidInputError) as caught:
            parse_tokens(text)
        assert "shp" not in str(caught.value) + caught.value.advice
    assert "shpat_secret1234" not in repr(TokenSet("shpat_secret1234", "shprt_secret"))
