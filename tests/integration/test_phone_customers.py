"""Customers whom only a phone number identifies, from the file to the pages and Klaviyo."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from pathlib import Path

from sandbox import Sandbox
from sandbox.klaviyo import Account
from service.builds.run import build
from service.core.config import Settings
from service.core.db import connect_as_owner, create_pool, tenant_transaction
from service.klaviyo.connection import connect_klaviyo
from service.klaviyo.lists import map_list
from service.tenants.tenants import add_tenant
from tests.command import quintile, quintile_process
from tests.integration.test_orders_export import export, first_row
from tests.klaviyo import last_rows, sync_once
from tests.web import client_of, running_app

CUSTOMERS = "/api/admin/segments/rfm/customers"


def test_a_shop_whose_customers_have_only_phone_numbers_gets_segments(
    built_settings: Settings, tmp_path: Path
) -> None:
    account = Account("pk_phones", name="Phones", currency="USD", timezone="UTC", prefix="PH")
    listed = account.add_list("Champions")
    path = tmp_path / "orders_export.csv"
    buyers = [f"+88017123456{number:02}" for number in range(12)]
    orders = [
        first_row(f"#{n}", str(n), Email="", Phone=phone, Created_at="2026-05-01 10:00:00 -0400")
        for n, phone in enumerate([*buyers, "01712-345600"])
    ]
    path.write_text(export(*orders), encoding="utf-8")
    with Sandbox([], [account]) as sandbox, connect_as_owner(built_settings) as owner:
        here = replace(built_settings, klaviyo_url=sandbox.klaviyo_url)
        tenant = add_tenant(owner, "cod")
        quintile(here, "tenants", "set", "cod", "--country", "BD")
        done = quintile_process(here, "orders", "import", path, "--tenant", "cod")
        assert done.stdout == "13 orders loaded, 0 unchanged, 0 rejected\n"
        assert "13 of 13 orders have a phone number and no e-mail address" in done.stderr
        build(here, as_of="2026-06-01", quiet=True)

        exported = quintile(here, "segments", "export", "--tenant", "cod").stdout
        rows = list(csv.DictReader(io.StringIO(exported)))
        assert sorted(row["monetary_total"] for row in rows) == ["30.00"] * 11 + ["60.00"]
        assert all(row["customer_id"].startswith("phone:") for row in rows)

        with running_app(here) as app:
            client = client_of(app, here, tenant)
            best = client.get(CUSTOMERS).get_json()["data"][0]
            assert (best["phone"], best["email"]) == (buyers[0], None)
            assert best["frequency_count"] == 2
            assert best["customer_id"] in {row["customer_id"] for row in rows}
            found = client.get(f"{CUSTOMERS}?q=1712345607").get_json()["data"]
            assert [row["phone"] for row in found] == [buyers[7]]

        pool = create_pool(here)
        with tenant_transaction(pool, tenant) as conn:
            customers = conn.execute(
                "select phone, lifetime_order_count from marts.customers order by phone"
            ).fetchall()
        assert [row["phone"] for row in customers] == buyers
        # Klaviyo is for e-mail: who has no address is counted, with the reason, and not sent.
        connect_klaviyo(here, pool, tenant, account.key)
        map_list(here, pool, tenant, f"rfm:{rows[0]['segment']}", listed.id)
        members = sum(row["segment"] == rows[0]["segment"] for row in rows)
        assert sync_once(here, pool, tenant)["skipped"] == members
        assert last_rows(pool, tenant)[0]["plan"]["skip"]["reasons"] == {"no_address": members}
        assert account.profiles == {}
        pool.close()
