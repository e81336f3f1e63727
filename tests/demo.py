"""The demo stores in a database, as templates and tests have them."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

from service.builds.run import build
from service.core.config import Settings
from service.core.db import connect_as_owner, open_pool
from service.tenants.tenants import add_tenant

if TYPE_CHECKING:
    from sandbox import Sandbox

# The sandbox's two years of history end here, and the demo templates are built as of here.
ANCHOR = date(2026, 7, 1)
AS_OF = datetime(2026, 7, 1, tzinfo=UTC)


class NullProgress:
    """Progress without a display; the counters can be read."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        self.phases: list[str] = []

    def phase(self, name: str, total: int | None = None) -> None:
        self.phases.append(name)

    def advance(self, done: int = 1) -> None:
        pass

    def count(self, **counts: int) -> None:
        for name, number in counts.items():
            self.counts[name] = self.counts.get(name, 0) + number


def make_demo(settings: Settings, sandbox: Sandbox) -> None:
    """Connect, sync and build both sandbox stores."""
    from service.klaviyo.connection import connect_klaviyo
    from service.shopify.connection import connect_shopify
    from service.shopify.sync import sync_shopify

    described = sandbox.describe()
    with open_pool(settings) as pool:
        for store, account in zip(
            described["shopify"]["stores"], described["klaviyo"]["accounts"], strict=True
        ):
            shop = store["shop"]
            with connect_as_owner(settings) as owner:
                tenant_id = add_tenant(owner, shop.removesuffix(".myshopify.com"), shop)
            connect_shopify(settings, pool, tenant_id, shop, store["token"])
            connect_klaviyo(settings, pool, tenant_id, account["key"])
            sync_shopify(settings, pool, tenant_id, NullProgress())
    build(settings, as_of=AS_OF.isoformat(), quiet=True)
