"""``make demo``: set up two sandbox stores, sync, build, push to Klaviyo and serve the UI."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

from sandbox import Sandbox, start_sandbox
from service.builds.backfill import backfill
from service.cli.access import sign_in_link
from service.cli.console import Result, echo, run_with_progress
from service.cli.web import check_port_free, serve_command, site_url
from service.core.config import Settings, environment_name
from service.core.db import Pool, connect_as_owner, one, open_pool, tenant_transaction
from service.core.queries import query
from service.klaviyo.account import read_list_size
from service.klaviyo.connection import connect_klaviyo, open_connected_klaviyo
from service.klaviyo.destination import sync_klaviyo
from service.klaviyo.lists import map_list
from service.migrate import migrate
from service.promo_codes.apply import apply_promo_codes
from service.promo_codes.codes import CodeValues, create_code
from service.queue.runs import Kind, record_runs, start_builds
from service.shopify.connection import connect_shopify
from service.shopify.sync import sync_shopify
from service.tenants.tenants import add_tenant, list_tenants

_LIST_NAME = "Champions"
_FLOW_LIST_NAME = "At risk"
# So that trends and movements have data.
_HISTORY = timedelta(weeks=26)


@dataclass(frozen=True)
class DemoTenant:
    """A demo store."""

    name: str
    shop: str
    tenant_id: UUID
    list_id: str
    klaviyo_key: str


def run_demo(settings: Settings, *, once: bool) -> None:
    """Set up the demo stores, then serve or, with ``once``, print the outcome as JSON."""
    began = time.monotonic()
    if not once:
        check_port_free(settings.host, settings.port)
    echo("preparing the database")
    migrate(settings, echo)
    echo("starting the sandbox Shopify and Klaviyo")
    with start_sandbox(anchor=_anchor(settings)) as sandbox:
        demo_settings = replace(
            settings, shopify_url=sandbox.shopify_url, klaviyo_url=sandbox.klaviyo_url
        )
        with open_pool(demo_settings) as pool:
            tenants = _connect_tenants(demo_settings, pool, sandbox)
            outcome = _main_job(demo_settings, pool, tenants)
            for tenant in tenants:
                _add_promo_codes(demo_settings, pool, tenant)
                _add_list_that_needs_approval(demo_settings, pool, tenant, sandbox)
        outcome["seconds"] = round(time.monotonic() - began, 1)
        if once:
            print(json.dumps(outcome))
            return
        echo(json.dumps(outcome))
        _serve(demo_settings, tenants)


def _anchor(settings: Settings) -> date:
    """The last day of the stores' data: the day of the first run, so that later runs match it."""
    path: Path = settings.home_dir / "demo-anchor"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(datetime.now(UTC).date().isoformat())
    return date.fromisoformat(path.read_text().strip())


def _connect_tenants(settings: Settings, pool: Pool, sandbox: Sandbox) -> list[DemoTenant]:
    described = sandbox.describe()
    stores, accounts = described["shopify"]["stores"], described["klaviyo"]["accounts"]
    tenants = []
    for store, account in zip(stores, accounts, strict=True):
        shop = store["shop"]
        name = shop.removesuffix(".myshopify.com")
        with connect_as_owner(settings) as owner:
            known = {row["name"]: row["tenant_id"] for row in list_tenants(owner)}
            tenant_id = known.get(name) or add_tenant(owner, name, shop)
        with tenant_transaction(pool, tenant_id) as conn:
            conn.execute(query("cli.delete_demo_lists"), {"tenant_id": tenant_id})
            conn.execute(query("cli.delete_demo_promo_codes"), {"tenant_id": tenant_id})
            # It gets a flow after the first sync of the other list, and then waits for approval.
            conn.execute(query("cli.delete_demo_flow_list"), {"tenant_id": tenant_id})
        echo(f"connecting {name}")
        connect_shopify(settings, pool, tenant_id, shop, store["token"])
        connect_klaviyo(settings, pool, tenant_id, account["key"])
        list_id = next(item["id"] for item in account["lists"] if item["name"] == _LIST_NAME)
        map_list(settings, pool, tenant_id, "rfm:champions", list_id)
        tenants.append(DemoTenant(name, shop, tenant_id, list_id, account["key"]))
    return tenants


def _main_job(settings: Settings, pool: Pool, tenants: list[DemoTenant]) -> dict[str, Any]:
    for tenant in tenants:
        _record(settings, pool, tenant, "shopify_sync", partial(sync_shopify, only="orders"))
        _record(settings, pool, tenant, "segments_sync", partial(sync_shopify, only="segments"))
        with tenant_transaction(pool, tenant.tenant_id) as conn:
            conn.execute(query("cli.exclude_demo_customer"), {"tenant_id": tenant.tenant_id})
            conn.execute(query("cli.add_demo_creators"), {"tenant_id": tenant.tenant_id})
    echo("building the models with dbt, with half a year of history")
    # Yesterday is one of the weekly days, so that pages can compare with it.
    yesterday = _anchor(settings) - timedelta(days=1)
    now = datetime.now(UTC).isoformat()
    builds = start_builds(pool, [tenant.tenant_id for tenant in tenants], "cli")
    with record_runs(pool, builds.mine) as recorders:
        for recorder in recorders:
            recorder.phase("history")
        backfill(settings, first=yesterday - _HISTORY, last=yesterday, as_of=now, quiet=True)
    outcomes = []
    for tenant in tenants:
        counts = _record(settings, pool, tenant, "klaviyo_sync", sync_klaviyo)
        named = {"tenant_id": tenant.tenant_id}
        with tenant_transaction(pool, tenant.tenant_id, read_only=True) as conn:
            row = one(conn.execute(query("cli.demo_outcome"), named).fetchone())
        with open_connected_klaviyo(settings, pool, tenant.tenant_id) as client:
            members = read_list_size(client, tenant.list_id)
        outcomes.append(
            {
                "name": tenant.name,
                "shop": tenant.shop,
                **row,
                "klaviyo": {"list_members": members, "calls": counts.get("calls", 0)},
            }
        )
    return {"tenants": outcomes}


def _add_promo_codes(settings: Settings, pool: Pool, tenant: DemoTenant) -> None:
    """Promo codes in the store's Shopify: one that works, one that ends, one that will start."""
    now = datetime.now(UTC).replace(second=0, microsecond=0)
    codes = {
        "VIP20": CodeValues(
            title="Thank you, champions",
            starts_at=now - timedelta(days=30),
            segments=["rfm:champions", "rfm:loyal"],
            percentage=Decimal("0.2"),
            is_once_per_customer=True,
        ),
        "WINBACK": CodeValues(
            title="We miss you",
            starts_at=now - timedelta(days=7),
            ends_at=now + timedelta(days=21),
            segments=["rfm:at_risk"],
            amount=Decimal(15),
            usage_limit=500,
        ),
        "SECOND10": CodeValues(
            title="Second order",
            starts_at=now + timedelta(days=7),
            segments=["rfm:new"],
            excluded_segments=["rfm:champions"],
            percentage=Decimal("0.1"),
        ),
    }
    for code, values in codes.items():
        with tenant_transaction(pool, tenant.tenant_id) as conn:
            create_code(settings, conn, tenant.tenant_id, code, values)
    _record(settings, pool, tenant, "promo_codes", apply_promo_codes)


def _add_list_that_needs_approval(
    settings: Settings, pool: Pool, tenant: DemoTenant, sandbox: Sandbox
) -> None:
    """A second list: it starts a flow, so that its first sync waits for a person."""
    account = sandbox.accounts[tenant.klaviyo_key]
    list_id = next(row["id"] for row in account.list_names() if row["name"] == _FLOW_LIST_NAME)
    account.add_flow("Win back", list_id)
    map_list(settings, pool, tenant.tenant_id, "rfm:at_risk", list_id)
    _record(settings, pool, tenant, "klaviyo_sync", sync_klaviyo)


def _record(
    settings: Settings,
    pool: Pool,
    tenant: DemoTenant,
    kind: Kind,
    work: Callable[[Settings, Pool, UUID, Any], None],
) -> dict[str, int]:
    name, tenant_id = tenant.name, tenant.tenant_id
    with run_with_progress(pool, name, tenant_id, kind, Result("demo")) as progress:
        work(settings, pool, tenant_id, progress)
    return progress.recorder.counts


def _serve(settings: Settings, tenants: list[DemoTenant]) -> None:
    """Run the web service and the worker until Ctrl-C. The sandbox runs in this process."""
    environment = {
        **os.environ,
        environment_name("shopify_url"): settings.shopify_url,
        environment_name("klaviyo_url"): settings.klaviyo_url,
        # Keep the sign-in links in sight.
        environment_name("log_level"): os.environ.get(environment_name("log_level"), "WARNING"),
    }
    # Stop the two processes on SIGTERM too.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    processes = [
        subprocess.Popen(serve_command(settings), env=environment),
        subprocess.Popen([sys.executable, "-m", "service", "worker"], env=environment),
    ]
    echo(f"\nQuintile is at {site_url(settings)}/admin. Sign in with:")
    for tenant in tenants:
        echo(f"  {tenant.name}: {sign_in_link(settings, tenant.name)}")
    echo("Each link works once, within one hour. New link: quintile tenants sign-in-link NAME")
    echo("Stop with Ctrl-C.")
    try:
        while all(process.poll() is None for process in processes):
            time.sleep(0.5)
    except KeyboardInterrupt:
        echo("stopping")
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait()
