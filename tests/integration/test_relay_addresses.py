"""Addresses that a marketplace forwards: no customer with one is scored or sent to Klaviyo."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from uuid import UUID

import pytest

from service.core.config import Settings
from service.core.db import connect_as_owner, find_tenant, open_pool, tenant_transaction
from service.core.queries import query
from service.destinations.plan import create_members
from tests.command import quintile

RELAYS = (
    # TikTok Shop, by country and by what connectors write.
    "v4baaaaa1@scs.tiktokw.us",
    "v4baaaaa2@SCS3.TikTok.com ",
    "v4baaaaa3@scs.tiktok.com",
    "v4baaaaa4@scs1.tiktok.com",
    "v4baaaaa5@scs2.tiktok.com",
    "v4baaaaa6@scs12.tiktok.com",
    "v4baaaaa7@scs-sg.tiktok.com",
    "v4baaaaa8@scs2.tiktokw.us",
    "v4baaaaa9@scs.tiktokw.eu",
    "anonymized@chat-seller-us.tiktok.com",
    "anonymized@chat-seller-gb.tiktok.com",
    # Other marketplaces.
    "abc123@marketplace.amazon.com",
    "abc123@marketplace.amazon.co.uk",
    "abc123@marketplace.amazon.com.be",
    "74684c24@members.ebay.com",
    "74684c24@members.ebay.de",
    "91DDE88D@relay.walmart.com",
    "91DDE88D@es.relay.walmart.com",
    "r-1234@relay.faire.com",
    "8awgqyk6a5+cub31c122@allegromail.pl",
    "buyer+abc@user.allegromail.pl",
    "2z3cbzpwighb6@verkopen.bol.com",
    "cauw31zq@kaufland-marktplatz.de",
    "rfx1qmo581n.ko8q@us.notification.mirakl.net",
    "815db15f@pc.fw.rakuten.ne.jp",
    "ttest.5x4fj4+2-ogi@mail.mercadolivre.com",
    "masked@orders.temu.com",
    "masked@buyer.shein.com",
    "masked@mail.etsy.com",
)
PEOPLE = (
    "real@example.com",
    # A service that the person chose. They read what is sent there.
    "a1b2c3@privaterelay.appleid.com",
    "a1b2c3@mozmail.com",
    "a1b2c3@duck.com",
    # Employees of a marketplace.
    "jo@tiktok.com",
    "jo@amazon.com",
    "jo@etsy.com",
    "jo@temu.com",
    "jo@walmart.com",
    # Look-alikes.
    "jo@not-scs.tiktok.com",
    "jo@scs.tiktok.com.example",
    "jo@scstiktok.com",
    "jo@marketplace-amazon.com",
    "jo@notmarketplace.amazon.com",
    "scs.tiktok.com@example.com",
    "jo@relay.example.com",
)


@pytest.fixture
def brand(built_settings: Settings, tmp_path: Path) -> UUID:
    """A tenant with one order of each address, imported from a file."""
    quintile(built_settings, "tenants", "add", "brand")
    file = tmp_path / "orders.csv"
    with file.open("w", newline="") as target:
        writer = csv.writer(target)
        writer.writerow(["order_id", "customer_id", "processed_at", "total", "customer_email"])
        for number, address in enumerate((*RELAYS, *PEOPLE), start=1):
            writer.writerow([number, f"c{number}", "2026-05-01", "30.00", address])
    quintile(built_settings, "orders", "import", file, "--tenant", "brand")
    with connect_as_owner(built_settings) as conn:
        return find_tenant(conn, "brand")


def scored(settings: Settings) -> set[str]:
    """The addresses of the customers that a build scores."""
    quintile(settings, "build", "--tenant", "brand", "--as-of", "2026-06-01")
    exported = quintile(settings, "segments", "export", "--tenant", "brand").stdout
    numbers = [int(row["customer_id"][1:]) for row in csv.DictReader(io.StringIO(exported))]
    return {(*RELAYS, *PEOPLE)[number - 1] for number in numbers}


def left_out(settings: Settings, tenant_id: UUID) -> dict[str, str]:
    """The reasons of the members of a segment of everybody that get no e-mail."""
    with open_pool(settings) as pool, tenant_transaction(pool, tenant_id) as conn:
        create_members(conn)
        conn.execute(
            "insert into pg_temp.sync_segment (config_id, customer_id, email)"
            " select gen_random_uuid(), a, a from unnest(%s::text[]) as a",
            [[*RELAYS, *PEOPLE]],
        )
        conn.execute(query("destinations.classify_members"), {"tenant_id": tenant_id})
        rows = conn.execute(
            "select customer_id, reason from pg_temp.sync_members where reason is not null"
        ).fetchall()
    return {row["customer_id"]: row["reason"] for row in rows}


def test_relays_are_neither_scored_nor_sent(built_settings: Settings, brand: UUID) -> None:
    assert scored(built_settings) == set(PEOPLE)
    assert left_out(built_settings, brand) == dict.fromkeys(RELAYS, "relay")


def test_a_tenant_adds_relay_domains_of_its_own(built_settings: Settings, brand: UUID) -> None:
    """Klaviyo obeys at once, and RFM from the build that the change queues."""
    quintile(
        *(built_settings, "tenants", "set", "brand"),
        *("--relay-domain", "relay.example.com", "--relay-domain", "Priv*.AppleID.com"),
    )
    own = {"jo@relay.example.com", "a1b2c3@privaterelay.appleid.com"}
    assert left_out(built_settings, brand) == dict.fromkeys((*RELAYS, *own), "relay")
    assert scored(built_settings) == set(PEOPLE) - own

    quintile(built_settings, "tenants", "add", "other")
    with connect_as_owner(built_settings) as conn:
        other = find_tenant(conn, "other")
    assert left_out(built_settings, other) == dict.fromkeys(RELAYS, "relay")

    quintile(built_settings, "tenants", "set", "brand", "--no-relay-domains")
    assert scored(built_settings) == set(PEOPLE)
