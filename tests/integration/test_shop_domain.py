"""A shop whose myshopify.com domain changes is followed, and another shop never is."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from uuid import UUID

import httpx
import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from sandbox import Sandbox
from sandbox.shopify import Store
from service.core.config import Settings
from service.core.credentials import disconnect
from service.core.db import Connection, Pool, one, tenant_transaction
from service.core.errors import InvalidInputError
from service.shopify.connection import connect_shopify
from service.shopify.errors import (
    ShopifyError,
    ShopifyMovedError,
    ShopifyRefusedError,
    ShopifyUnavailableError,
)
from service.shopify.sync import sync_shopify
from service.tenants.tenants import change_tenant
from tests.command import quintile
from tests.conftest import MakeTenant, NullProgress
from tests.shops import ORDERS, loaded_rows

NEW = "new-name-of-the-shop.myshopify.com"

Sync = Callable[[], None]


@pytest.fixture
def sync(shopify_settings: Settings, pool: Pool, tenant: UUID) -> Sync:
    return lambda: sync_shopify(shopify_settings, pool, tenant, NullProgress())


def rename(store: Store, domain: str = NEW, number: int | None = None) -> str:
    """Give the store another domain, and another id if given; returns the former domain."""
    former = store.data.domain
    store.data = replace(store.data, domain=domain, number=number or store.data.number)
    return former


def domain_of(owner: Connection, tenant_id: UUID) -> str:
    found = owner.execute("select shop_domain from app.tenants where tenant_id = %s", [tenant_id])
    return str(one(found.fetchone())["shop_domain"])


def connection(owner: Connection) -> tuple[str, str | None, str | None]:
    row = one(owner.execute("select * from app.connections").fetchone())
    return row["state"], row["state_reason"], row["account_id"]


def test_a_sync_follows_a_shop_whose_domain_changed(
    sync: Sync, pool: Pool, tenant: UUID, store: Store, owner: Connection
) -> None:
    sync()
    rename(store)
    number = store.data.orders[0].number
    store.update_order(number, note="after the change")
    sync()
    assert domain_of(owner, tenant) == NEW
    assert connection(owner) == ("active", None, str(store.data.number))
    rows = loaded_rows(pool, tenant)["orders"]
    assert len(rows) == ORDERS
    assert next(r["note"] for r in rows if r["order_id"] == str(number)) == "after the change"
    # Webhooks come with the new domain.
    found = owner.execute("select app.tenant_of_shop(%s) as tenant_id", [NEW]).fetchone()
    assert one(found)["tenant_id"] == tenant
    sync()


def test_another_shop_under_the_token_is_refused_and_nothing_of_it_is_loaded(
    sync: Sync, pool: Pool, tenant: UUID, store: Store, owner: Connection
) -> None:
    sync()
    before = loaded_rows(pool, tenant)
    former = rename(store, number=12345)
    store.update_order(store.data.orders[0].number, note="not ours")
    with pytest.raises(ShopifyRefusedError, match=f"belongs to {NEW}, not to {former}") as raised:
        sync()
    assert f"tenants set NAME --shop {NEW}" in raised.value.advice
    assert loaded_rows(pool, tenant) == before
    assert domain_of(owner, tenant) == former
    assert connection(owner)[0] == "refused"


def test_a_connection_without_a_recorded_id_is_not_followed_by_a_sync(
    sync: Sync, tenant: UUID, store: Store, owner: Connection
) -> None:
    """Earlier releases did not record it; a sync before the change does."""
    owner.execute("update app.connections set account_id = null")
    former = rename(store)
    with pytest.raises(ShopifyRefusedError, match="belongs to"):
        sync()
    assert domain_of(owner, tenant) == former
    rename(store, former)
    sync()
    assert connection(owner) == ("active", None, str(store.data.number))


@pytest.mark.parametrize("is_id_known", [True, False])
def test_an_operator_gives_a_connected_tenant_its_shops_new_domain(
    shopify_settings: Settings,
    sync: Sync,
    tenant: UUID,
    store: Store,
    owner: Connection,
    is_id_known: bool,
) -> None:
    if not is_id_known:
        owner.execute("update app.connections set account_id = null")
    rename(store)
    done = quintile(shopify_settings, "tenants", "set", "kessel", "--shop", NEW)
    assert "same shop" in done.stderr + done.stdout
    assert domain_of(owner, tenant) == NEW
    assert connection(owner) == ("active", None, str(store.data.number))
    sync()


def test_an_operator_cannot_give_a_connected_tenant_another_shop(
    shopify_settings: Settings, pool: Pool, tenant: UUID, store: Store, owner: Connection
) -> None:
    former = store.data.domain
    # The token does not open that shop, but the tenant's.
    refused = quintile(shopify_settings, "tenants", "set", "kessel", "--shop", NEW, expect=1)
    assert f"shop is {former}, not {NEW}" in refused.stderr
    rename(store, number=12345)
    refused = quintile(shopify_settings, "tenants", "set", "kessel", "--shop", NEW, expect=1)
    assert f"shop is {former}, not {NEW}" in refused.stderr
    assert domain_of(owner, tenant) == former
    with tenant_transaction(pool, tenant) as conn:
        disconnect(conn, tenant, "shopify", "for this test")
    with pytest.raises(InvalidInputError, match="another shop") as raised:
        change_tenant(owner, tenant, shop=NEW)
    assert f"connect-shopify NAME --shop {NEW}" in raised.value.advice


def test_a_disconnected_tenant_is_connected_under_the_new_domain(
    shopify_settings: Settings, pool: Pool, tenant: UUID, store: Store, owner: Connection
) -> None:
    with tenant_transaction(pool, tenant) as conn:
        disconnect(conn, tenant, "shopify", "for this test")
    rename(store)
    with pytest.raises(InvalidInputError, match="not third"):
        connect_shopify(shopify_settings, pool, tenant, "third.myshopify.com", store.data.token)
    quintile(
        shopify_settings,
        *("tenants", "connect-shopify", "kessel", "--shop", NEW),
        stdin=store.data.token,
    )
    assert domain_of(owner, tenant) == NEW
    assert connection(owner)[0] == "active"
    # The former domain leads to the same shop, as long as Shopify answers there.
    store.data = replace(store.data, domain="newest.myshopify.com")
    connect_shopify(shopify_settings, pool, tenant, NEW, store.data.token)
    assert domain_of(owner, tenant) == "newest.myshopify.com"


def test_a_domain_that_another_tenant_has_is_not_taken(
    sync: Sync, tenant: UUID, store: Store, owner: Connection, make_tenant: MakeTenant
) -> None:
    other = make_tenant("other", NEW)
    former = rename(store)
    with pytest.raises(ShopifyError, match="cannot be taken over") as raised:
        sync()
    assert "tenants list" in raised.value.advice
    assert (domain_of(owner, tenant), domain_of(owner, other)) == (former, NEW)


# -- redirects ----------------------------------------------------------------------------------


@pytest.fixture
def moving(
    shopify_settings: Settings, shop: Sandbox, httpserver: HTTPServer
) -> Callable[[str, str], Settings]:
    """Serve each shop at its own path, and redirect one domain to another."""

    def move(former: str, domain: str) -> Settings:
        def answer(request: Request) -> Response:
            _, asked, path = request.path.split("/", 2)
            if asked == former:
                return Response(status=301, headers={"Location": f"https://{domain}/{path}"})
            token = request.headers["X-Shopify-Access-Token"]
            found = httpx.post(
                f"{shop.shopify_url}/{path}",
                content=request.get_data(),
                headers={"X-Shopify-Access-Token": token, "Content-Type": "application/json"},
            )
            return Response(found.content, found.status_code, content_type="application/json")

        httpserver.expect_request(re.compile(".*")).respond_with_handler(answer)
        return replace(shopify_settings, shopify_url=httpserver.url_for("/") + "{shop}")

    return move


def test_a_redirect_to_the_new_domain_of_the_same_shop_is_followed(
    moving: Callable[[str, str], Settings],
    pool: Pool,
    tenant: UUID,
    store: Store,
    owner: Connection,
) -> None:
    here = moving(rename(store), NEW)
    with pytest.raises(ShopifyUnavailableError, match=f"now {NEW}") as raised:
        sync_shopify(here, pool, tenant, NullProgress())
    # The queue tries the run again.
    assert raised.value.is_transient
    assert domain_of(owner, tenant) == NEW
    sync_shopify(here, pool, tenant, NullProgress())
    assert len(loaded_rows(pool, tenant)["orders"]) == ORDERS


@pytest.mark.parametrize("fault", ["another shop", "no recorded id", "no shop's domain"])
def test_any_other_redirect_is_not_followed(
    moving: Callable[[str, str], Settings],
    pool: Pool,
    tenant: UUID,
    store: Store,
    owner: Connection,
    httpserver: HTTPServer,
    fault: str,
) -> None:
    if fault == "no recorded id":
        owner.execute("update app.connections set account_id = null")
    target = "login.example.com" if fault == "no shop's domain" else NEW
    former = rename(store, number=12345 if fault == "another shop" else None)
    here = moving(former, target)
    with pytest.raises(ShopifyMovedError, match=f"redirect.*{target}") as raised:
        sync_shopify(here, pool, tenant, NullProgress())
    assert raised.value.advice
    assert domain_of(owner, tenant) == former
    assert connection(owner)[0] == "active"
    assert loaded_rows(pool, tenant)["orders"] == []
    asked = {request.path.split("/")[1] for request, _ in httpserver.log}
    assert asked == ({former, NEW} if fault == "another shop" else {former})
