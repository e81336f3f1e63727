"""Searches by name and address, in any script and among many customers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest
from flask.testing import FlaskClient

from service.core.config import Settings
from service.core.db import connect, connect_as_owner, transform_url
from service.tenants.tenants import add_tenant
from tests.web import add_scored_customers, client_of, running_app

CUSTOMERS = "/api/admin/customers"
SEARCHED = (CUSTOMERS, "/api/admin/segments/rfm:loyal/customers")

NAMES = {
    "1": "İrem K\u0131l\u0131ç",
    # The sign of the unit Kelvin, whose lower case is the letter.
    "2": "Melvin \u212aIRK",
    "3": "JÜRGEN MÜLLER-LÜDENSCHEIDT",
    "4": "ΟΔΥΣΣΕΥΣ ΠΑΠΑΔΟΠΟΥΛΟΣ",
    "5": "Ирина КУЗНЕЦОВА",
    "6": r"100%_Sure\Thing",
    "7": "山田 太郎",
    "8": "Nikki Kirk",
    "9": "Straße STRASSE",
}


@pytest.fixture
def settings(built_settings: Settings) -> Settings:
    return built_settings


@pytest.fixture
def tenant(settings: Settings) -> UUID:
    with connect_as_owner(settings) as conn:
        return add_tenant(conn, "north", None)


@pytest.fixture
def client(settings: Settings, tenant: UUID) -> Iterator[FlaskClient]:
    with running_app(settings) as app:
        yield client_of(app, settings, tenant)


def rename(settings: Settings, tenant: UUID, names: dict[str, str]) -> None:
    with connect(transform_url(settings)) as conn, conn.cursor() as cursor:
        cursor.executemany(
            "update marts.customer_facts set display_name = %s"
            " where tenant_id = %s and customer_id = %s",
            [(name, tenant, customer) for customer, name in names.items()],
        )


def walk(client: FlaskClient, path: str, **asked: Any) -> list[str]:
    found: list[str] = []
    while True:
        page = client.get(path, query_string=asked).get_json()
        found += [row["customer_id"] for row in page["data"]]
        if page["next_cursor"] is None:
            return found
        asked["cursor"] = page["next_cursor"]


def test_a_search_finds_what_the_database_s_lower_case_finds(
    client: FlaskClient, settings: Settings, tenant: UUID
) -> None:
    add_scored_customers(settings, tenant, [(number, "loyal", "5.00") for number in NAMES])
    rename(settings, tenant, NAMES)
    texts = {part for name in NAMES.values() for part in (name, name[:3], name[2:6], name[-4:])}
    texts |= {"kirk", "irem", "i", "k", "ki", "i\u0307rem", "müller", "0%_s", "absent", "e\\t"}
    asked = {variant for text in texts for variant in (text, text.upper(), text.lower())}
    with connect(transform_url(settings)) as conn:
        for text in sorted(filter(None, (text.strip() for text in asked))):
            rows = conn.execute(
                "select customer_id from marts.customer_facts where tenant_id = %(tenant)s and ("
                " position(lower(%(text)s) in lower(display_name)) > 0"
                " or position(lower(%(text)s) in lower(email)) > 0 or customer_id = %(text)s)"
                " order by customer_id",
                {"tenant": tenant, "text": text},
            ).fetchall()
            for path in SEARCHED:
                assert walk(client, path, q=text) == [r["customer_id"] for r in rows], text
    assert walk(client, CUSTOMERS, q="kirk") == ["2", "8"]
    assert walk(client, CUSTOMERS, q="müller-lü") == ["3"]


def test_a_search_of_all_customers_finds_those_far_down(
    client: FlaskClient, settings: Settings, tenant: UUID
) -> None:
    """The next 2,000 are searched first."""
    ids = [f"{number:05}" for number in range(6_200)]
    add_scored_customers(settings, tenant, [(number, "loyal", "5.00") for number in ids])
    rare = dict.fromkeys(ids[::700], "Yara")
    often = dict.fromkeys(ids[1::2], "Zoe")
    rename(settings, tenant, {**often, **rare})
    often = {number: name for number, name in often.items() if number not in rare}
    assert walk(client, CUSTOMERS, q="yara", limit=2) == sorted(rare)
    assert walk(client, CUSTOMERS, q="yara", limit=200) == sorted(rare)
    assert walk(client, CUSTOMERS, q="ZOE", limit=150) == sorted(often)
    assert walk(client, CUSTOMERS, q="zoe", limit=200, sort="name") == sorted(often)
    assert walk(client, CUSTOMERS, q="absent") == []
