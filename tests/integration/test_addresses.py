"""E-mail addresses lose what nobody sees, wherever they enter."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID

import pytest
from psycopg.types.json import Jsonb

from sandbox.klaviyo import Account
from service.core.config import PROJECT_DIR, Settings
from service.core.db import Connection, Pool, connect, tenant_transaction
from service.core.queries import query
from service.destinations.configs import NewConfig, create_config
from service.klaviyo.connection import connect_klaviyo
from tests.command import quintile
from tests.conftest import MakeTenant
from tests.klaviyo import sync_once

MACRO = PROJECT_DIR / "macros" / "sources" / "clean_address.sql"
KEY = "pk_sandbox_for_these_tests"
# As stored, and the address that is meant; none if it is none.
FORMS = {
    " Ada@Example.COM ": "Ada@Example.COM",
    "\ufeffbob@example.com": "bob@example.com",
    "carl@example.com\u00a0": "carl@example.com",
    "\u00a0 dan@example.com\t": "dan@example.com",
    "eve@example.com\r\n": "eve@example.com",
    "fay\u200b@exam\u00adple.com": "fay@example.com",
    "amy@\u00a0example.com": "amy@example.com",
    "\u200e\u202agil@example.com\u202c": "gil@example.com",
    "\u2066hal@example.com\u2069\u2060": "hal@example.com",
    "\u3000ivy@example.com\u2003\u2028": "ivy@example.com",
    "\u0085jo\u200d@example.com\x1f": "jo@example.com",
    "\u202fkim@example.com\u1680": "kim@example.com",
    "\u200b \ufeff lea@example.com \u200b": "lea@example.com",
    "max@m\u00fcnchen.de": "max@m\u00fcnchen.de",
    "zo\u00eb+tag@example.com": "zo\u00eb+tag@example.com",
    "o'neil@example.com": "o'neil@example.com",
    "ann lee@example.com": "ann lee@example.com",
    "": None,
    " \u00a0\u200b\ufeff\u00ad\t": None,
}
# What can be sent: RFC 5321 without space, and a domain of ASCII.
SENT = {
    email.lower()
    for email in FORMS.values()
    if email and " " not in email and "\u00fc" not in email
}


@pytest.fixture
def settings(built_settings: Settings) -> Settings:
    return built_settings


@pytest.fixture
def account() -> Account:
    made = Account(
        KEY, name="Kessel", currency="EUR", timezone="UTC", prefix="KK", rate_limit_scale=50
    )
    made.add_list("Champions")
    return made


def test_the_service_and_dbt_clean_an_address_alike(superuser: Connection) -> None:
    macro = MACRO.read_text().split("-%}")[1].split("{%-")[0].replace("{{ address }}", "a.form")
    for form, expected in FORMS.items():
        row = superuser.execute(
            f"select app.clean_address(a.form) as service, {macro} as dbt"
            " from (select %s::text as form) as a",
            [form],
        ).fetchone()
        assert row == {"service": expected, "dbt": expected}, form
    row = superuser.execute("select app.clean_address(null) as none").fetchone()
    assert row == {"none": None}


def test_a_list_gets_addresses_without_what_nobody_sees(
    klaviyo_settings: Settings, pool: Pool, make_tenant: MakeTenant, account: Account
) -> None:
    """Also those that were stored before the service cleaned them."""
    tenant = make_tenant("kessel", None)
    connect_klaviyo(klaviyo_settings, pool, tenant, KEY)
    list_id = account.list_names()[0]["id"]
    with tenant_transaction(pool, tenant) as conn:
        conn.execute(
            "insert into shopify.cached_segments (tenant_id, segment_id, name, query, synced_at)"
            " values (%s, '1', 'VIP', 'x', now())",
            [tenant],
        )
        with conn.cursor() as cursor:
            cursor.executemany(
                "insert into shopify.segment_members"
                " (tenant_id, segment_id, customer_id, email) values (%s, '1', %s, %s)",
                [(tenant, str(number), form) for number, form in enumerate(FORMS)],
            )
        create_config(conn, tenant, NewConfig("shopify:1", list_id, "Champions"))
    with connect(klaviyo_settings.database_url) as admin:
        # A mart that was built from an address as it was stored.
        admin.execute(
            """
            insert into marts.customer_facts (
                tenant_id, customer_id, email, is_excluded_from_rfm, lifetime_order_count,
                lifetime_minor, window_order_count, window_minor, last_order_at, r_score,
                f_score, m_score, segment
            )
            values (%s, '1', %s, false, 9, 9900, 9, 9900, '2026-06-01', 5, 5, 5, 'champions')
            """,
            [tenant, "\ufeffbob@example.com"],
        )
    counts = sync_once(klaviyo_settings, pool, tenant)
    assert (counts["added"], counts["rejected"]) == (len(SENT), 0)
    assert account.member_emails(list_id) == SENT
    assert sync_once(klaviyo_settings, pool, tenant)["added"] == 0


def test_imported_and_landed_addresses_are_clean(
    settings: Settings, pool: Pool, make_tenant: MakeTenant, tmp_path: Path
) -> None:
    tenant = make_tenant("kessel", None)
    lines = ["order_id,customer_id,processed_at,total,customer_email"]
    forms = [form for form in FORMS if "\r" not in form and "\x1f" not in form]
    lines += [f'o{n},c{n},2026-06-01,9.00,"{form}"' for n, form in enumerate(forms)]
    (tmp_path / "orders.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    quintile(settings, "orders", "import", str(tmp_path / "orders.csv"), "--tenant", "kessel")
    # What has a space inside is no address in a file.
    expected = {FORMS[form] for form in forms} - {"ann lee@example.com"}
    assert stored(pool, tenant, "orders", "customer_email") == expected
    with tenant_transaction(pool, tenant) as conn:
        conn.execute(
            "insert into shopify.cached_segments (tenant_id, segment_id, name, query, synced_at)"
            " values (%s, '1', 'VIP', 'x', now())",
            [tenant],
        )
        for number, form in enumerate(FORMS):
            conn.execute(
                query("webhooks.load_memberships"),
                {
                    "tenant_id": tenant,
                    "customer_id": str(number),
                    "memberships": Jsonb([{"segment_id": "1", "is_member": True}]),
                    "email": form,
                    "display_name": None,
                    "marketing_state": None,
                    "is_withheld": False,
                },
            )
    assert stored(pool, tenant, "segment_members", "email") == set(FORMS.values())


def stored(pool: Pool, tenant: UUID, table: str, column: str) -> set[str | None]:
    with tenant_transaction(pool, tenant) as conn:
        rows = conn.execute(f"select {column} as email from shopify.{table}")
        return {row["email"] for row in rows}
