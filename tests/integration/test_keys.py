"""Key rotation, and connecting and disconnecting a store on the command line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from sandbox import Sandbox
from sandbox.data import generate_store
from sandbox.data.specs import KESSEL
from sandbox.shopify import ALL_SCOPES, Store
from sandbox.shopify.tokens import CLIENT_ID, CLIENT_SECRET
from service.core.config import Settings
from service.core.db import Connection, Pool, connect, connect_as_owner, tenant_transaction
from service.core.errors import InvalidInputError, SealBrokenError
from service.core.vault import seal, unseal
from service.migrate import migrate
from service.notifications.endpoints import add_endpoint
from service.tenants.keys import new_key, rotate_keys
from service.tenants.tenants import add_tenant
from tests.command import quintile, quintile_process
from tests.conftest import MakeTenant
from tests.external import external_server

OLD, NEW = new_key("old"), new_key("new")


def connect_store(settings: Settings, owner: Connection, tenant_id: object, provider: str) -> None:
    sealed = seal(settings, tenant_id, provider, f"secret of {provider}")  # type: ignore[arg-type]
    owner.execute(
        "insert into app.connections (tenant_id, provider, sealed_secret, key_id, last_four) "
        "values (%s, %s, %s, %s, 'abcd')",
        [tenant_id, provider, sealed["sealed_secret"], sealed["key_id"]],
    )


def keys_in_use(owner: Connection) -> set[str]:
    return {row["key_id"] for row in owner.execute("select key_id from app.connections")}


def test_rotation_reseals_all_secrets_and_lists_idle_keys(
    settings: Settings, pool: Pool, owner: Connection, make_tenant: MakeTenant
) -> None:
    tenants = {name: make_tenant(name) for name in ("north", "south")}
    before = replace(settings, encryption_keys=OLD)
    # One is still sealed with the derived key, from before keys were set.
    connect_store(settings, owner, tenants["north"], "klaviyo")
    connect_store(before, owner, tenants["north"], "shopify")
    connect_store(before, owner, tenants["south"], "shopify")
    both = replace(settings, encryption_keys=f"{NEW},{OLD}")

    warned = quintile(both, "doctor", "--json")
    findings = {f["check"]: f for f in json.loads(warned.stdout)["findings"]}
    assert findings["keys"]["level"] == "warning"
    assert findings["keys"]["advice"] == "Run: quintile keys rotate"

    done = quintile_process(both, "keys", "rotate")
    assert "3 of 3 secrets encrypted again" in done.stderr
    assert "no longer used: old" in done.stderr
    assert keys_in_use(owner) == {"new"}
    again = rotate_keys(both, pool, tenants)
    assert (again.resealed, again.idle_keys(both)) == (0, ["old"])
    after = replace(settings, encryption_keys=NEW)
    for name, provider in (("north", "klaviyo"), ("north", "shopify"), ("south", "shopify")):
        stored = owner.execute(
            "select key_id, sealed_secret from app.connections"
            " where tenant_id = %s and provider = %s",
            [tenants[name], provider],
        ).fetchone()
        assert stored
        assert unseal(after, tenants[name], provider, stored) == f"secret of {provider}"


def test_a_secret_with_a_removed_key_is_reported_and_the_others_are_rotated(
    settings: Settings, owner: Connection, make_tenant: MakeTenant
) -> None:
    north, south = make_tenant("north"), make_tenant("south")
    connect_store(replace(settings, encryption_keys=OLD), owner, north, "klaviyo")
    connect_store(settings, owner, south, "klaviyo")
    done = quintile(replace(settings, encryption_keys=NEW), "keys", "rotate", expect=1)
    assert "1 of 2 secrets encrypted again" in done.stderr
    assert "north to klaviyo" in done.stderr
    assert "'old', which is not in the key ring" in done.stderr
    assert keys_in_use(owner) == {"old", "new"}


def test_a_new_key_is_an_entry_of_the_key_ring(settings: Settings) -> None:
    entry = quintile_process(settings, "keys", "new", "2026-12-31").stdout.strip()
    sealed = seal(replace(settings, encryption_keys=entry), uuid4(), "shopify", "x")
    assert sealed["key_id"] == "2026-12-31"
    for bad in ("", "a:b", "a,b", "a b", "ä"):
        with pytest.raises(InvalidInputError):
            new_key(bad)


def test_connecting_with_a_token_pair_reports_plan_version_and_scopes(
    settings: Settings, owner: Connection, make_tenant: MakeTenant
) -> None:
    data = generate_store(KESSEL, 1, datetime(2026, 7, 1, tzinfo=UTC))
    store = Store(data, scopes=ALL_SCOPES - {"read_all_orders"})
    tenant_id = make_tenant("kessel", KESSEL.domain)
    with Sandbox([store], []) as shop:
        here = replace(
            settings,
            shopify_url=shop.shopify_url,
            shopify_client_id=CLIENT_ID,
            shopify_client_secret=CLIENT_SECRET,
        )
        pair = json.dumps(shop.tokens.issue(KESSEL.domain), indent=2)
        done = quintile_process(here, "tenants", "connect-shopify", "kessel", stdin=pair)
    for line in (
        f"connected {KESSEL.name} (EUR, Europe/Berlin, Shopify Plus plan)",
        "API version 2026-07",
        "granted: read_customers, read_orders",
        "not granted: read_all_orders (orders older than 60 days",
        "only the last 60 days of orders",
    ):
        assert line in done.stderr
    assert "shpat" not in done.stdout + done.stderr
    row = owner.execute("select access_expires_at, plan from app.connections").fetchone()
    assert row is not None
    assert row["access_expires_at"] is not None
    assert row["plan"] == "Shopify Plus"

    gone = quintile_process(settings, "tenants", "disconnect-shopify", "kessel")
    assert "kessel is disconnected" in gone.stderr
    assert (
        "was not connected" in quintile(settings, "tenants", "disconnect-shopify", "kessel").stderr
    )
    listed = json.loads(quintile(settings, "tenants", "list", "--json").stdout)
    assert (listed[0]["tenant_id"], listed[0]["connected"]) == (str(tenant_id), [])


def test_rotation_reseals_everything_that_is_sealed(
    settings: Settings,
    pool: Pool,
    owner: Connection,
    make_tenant: MakeTenant,
    superuser: Connection,
) -> None:
    """Every table with a sealed column, so that a new one cannot be forgotten."""
    tenant_id = make_tenant("north")
    before = replace(settings, encryption_keys=OLD)
    connect_store(before, owner, tenant_id, "shopify")
    with tenant_transaction(pool, tenant_id) as conn:
        add_endpoint(before, conn, tenant_id, "https://example.com/", ["build.completed"])
    held = seal(before, tenant_id, "privacy export", "{}")
    owner.execute(
        "insert into app.privacy_exports (tenant_id, subject, sealed_document, key_id, expires_at)"
        " values (%s, '', %s, %s, now() + interval '1 day')",
        [tenant_id, held["sealed_secret"], held["key_id"]],
    )
    answer = seal(before, tenant_id, "answer", "{}")
    owner.execute(
        "insert into app.idempotent_requests (tenant_id, credential, request_key, claim_id,"
        " fingerprint, status, headers, key_id, sealed_secret) values (%s, 'c', 'k',"
        " gen_random_uuid(), sha256(''), 200, '{}', %s, %s)",
        [tenant_id, answer["key_id"], answer["sealed_secret"]],
    )
    sealing = [
        row["relation"]
        for row in superuser.execute(
            "select attrelid::regclass::text as relation from pg_attribute"
            " where attname = 'key_id' and attrelid::regclass::text like 'app.%%'"
            " and attrelid in (select oid from pg_class where relkind = 'r') order by 1"
        )
    ]
    # Its former secrets are in app.webhook_secrets since 0037, and nothing reads them here.
    sealing.remove("app.notification_hooks")
    count = " union all ".join(f"select key_id from {relation}" for relation in sealing)
    found = superuser.execute(count).fetchall()
    assert [row["key_id"] for row in found] == ["old"] * len(sealing)
    both = replace(settings, encryption_keys=f"{NEW},{OLD}")
    rotation = rotate_keys(both, pool, {"north": tenant_id})
    assert (rotation.resealed, rotation.idle_keys(both)) == (len(sealing), ["old"])
    found = superuser.execute(count).fetchall()
    assert {row["key_id"] for row in found} == {"new"}


# -- a secret key that this release refuses ------------------------------------------------------


@pytest.fixture
def server() -> Iterator[str]:
    """A server whose roles have passwords, which follow from the secret key."""
    with external_server() as url:
        yield url


@pytest.mark.parametrize("weak", ["change-me", "x"])
def test_a_weak_secret_key_is_replaced_and_nothing_is_lost(
    server: str, tmp_path: Path, weak: str
) -> None:
    with connect(server) as conn:
        conn.execute("create database one")
    url = server.replace("/postgres", "/one")
    # As a former release left it, which did not refuse the key.
    before = Settings(database_url=url, home=str(tmp_path), secret_key=weak)
    migrate(before, reset_passwords=True)
    with connect_as_owner(before) as owner:
        tenant_id = add_tenant(owner, "north", None)
    with connect(url) as admin:
        connect_store(before, admin, tenant_id, "klaviyo")
    refused = quintile_process(before, "keys", "rotate", expect=1)
    assert "set QUINTILE_FORMER_SECRET_KEY to it" in refused.stderr
    assert f" {weak} " not in refused.stderr

    alone = replace(before, secret_key="Jx4bTq9mVw2sLk7nZr5hCy8fGd3pQa6e")
    both = replace(alone, former_secret_key=weak)
    quintile_process(both, "migrate", "--reset-passwords")
    lost = quintile_process(alone, "keys", "rotate", expect=1)
    assert "does not open with key 'derived'" in lost.stderr

    # Until the rotation, stored secrets can still be opened.
    with connect(url) as admin:
        assert opened(both, admin, tenant_id) == "secret of klaviyo"
    done = quintile_process(both, "keys", "rotate")
    assert "1 of 1 secrets encrypted again" in done.stderr
    assert "no longer used: QUINTILE_FORMER_SECRET_KEY" in done.stderr
    assert "0 of 1 secrets encrypted again" in quintile_process(both, "keys", "rotate").stderr
    with connect(url) as admin:
        assert opened(alone, admin, tenant_id) == "secret of klaviyo"
        with pytest.raises(SealBrokenError):
            opened(before, admin, tenant_id)
    for settings, level in ((both, "warning"), (alone, "ok")):
        found = json.loads(quintile_process(settings, "doctor", "--json").stdout)["findings"]
        assert {f["level"] for f in found if f["check"] == "keys"} >= {level}


def opened(settings: Settings, conn: Connection, tenant_id: UUID) -> str:
    row = conn.execute("select key_id, sealed_secret from app.connections").fetchone()
    assert row is not None
    return unseal(settings, tenant_id, "klaviyo", row)
