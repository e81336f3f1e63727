"""Back-up and restore from one server to another, as in docs/operations.md."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import psycopg
import pytest

from service.builds.run import build
from service.core.config import Settings
from service.core.credentials import find_connection
from service.core.db import Pool, connect_as_owner, open_pool, tenant_transaction
from service.core.vault import seal, unseal
from service.doctor.examine import examine
from service.migrate import migrate
from service.tenants.tenants import add_tenant
from tests.conftest import AS_OF
from tests.external import external_server, server_binaries

pytestmark = pytest.mark.backup

# As on managed PostgreSQL: not a superuser, but it may create roles.
MANAGED = "create role managed login createrole createdb password 'managed'"
ADMINS = ["managed", "superuser"]


@dataclass(frozen=True)
class Source:
    """A database in use: its URL by admin, its tenants, and the number of rows of each table."""

    urls: dict[str, str]
    tenants: list[UUID]
    rows: dict[str, int]


def _tool(name: str, *arguments: str | Path) -> None:
    """Run one of PostgreSQL's tools, of the servers' release."""
    binaries = server_binaries()
    assert binaries is not None
    done = subprocess.run(
        [binaries / name, *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def _create(server: str, database: str, owner: str) -> dict[str, str]:
    """Create a database; returns its URL by admin."""
    with closing(psycopg.connect(server, autocommit=True)) as conn:
        known = conn.execute("select from pg_roles where rolname = 'managed'").fetchone()
        if known is None:
            conn.execute(MANAGED)
        conn.execute(f"create database {database} owner {owner}")
    at = server.rpartition("@")[2].replace("/postgres", f"/{database}")
    return {
        "managed": f"postgresql://managed:managed@{at}",
        "superuser": server.replace("/postgres", f"/{database}"),
    }


def _settings(url: str, home: Path) -> Settings:
    return Settings(
        database_url=url, home=str(home), secret_key="one secret for both servers 0123456789"
    )


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Source]:
    """Two tenants with an order and a credential each, built, on a separate server."""
    with external_server() as server:
        urls = _create(server, "source", "managed")
        settings = _settings(urls["managed"], tmp_path_factory.mktemp("source"))
        migrate(settings)
        with connect_as_owner(settings) as conn:
            tenants = [add_tenant(conn, name, None) for name in ("north", "south")]
            for tenant_id in tenants:
                sealed = seal(settings, tenant_id, "shopify", f"shpat_{tenant_id}")
                conn.execute(
                    "insert into app.connections (tenant_id, provider, sealed_secret, key_id,"
                    " last_four) values (%s, 'shopify', %s, %s, 'xxxx')",
                    [tenant_id, sealed["sealed_secret"], sealed["key_id"]],
                )
                conn.execute(
                    "insert into shopify.orders (tenant_id, order_id, customer_id, processed_at,"
                    " currency, total_minor, subtotal_minor, source)"
                    " values (%s, '1', 'c', %s, 'EUR', 1050, 1050, 'csv')",
                    [tenant_id, AS_OF.replace(month=6)],
                )
        build(settings, as_of=AS_OF.isoformat(), quiet=True)
        yield Source(urls, tenants, _rows(urls["superuser"]))


@pytest.fixture(scope="module")
def target_server() -> Iterator[str]:
    """Another server, without Quintile's roles."""
    with external_server() as server:
        yield server


def _rows(url: str) -> dict[str, int]:
    """Number of rows of every table, counted by a superuser."""
    with closing(psycopg.connect(url)) as conn:
        tables = conn.execute(
            "select format('%I.%I', schemaname, tablename) from pg_tables"
            " where schemaname in ('shopify', 'app', 'jobs', 'marts')"
        ).fetchall()
        return {
            name: conn.execute(f"select count(*) from {name}").fetchone()[0]  # type: ignore[index, call-overload]
            for (name,) in tables
        }


@pytest.mark.parametrize("admin", ADMINS)
def test_a_back_up_can_be_restored_on_another_server(
    source: Source, target_server: str, tmp_path: Path, admin: str
) -> None:
    dump = tmp_path / "quintile.dump"
    # Policies apply to an admin without superuser rights, who must dump the rows they allow.
    options = ["--enable-row-security"] if admin == "managed" else []
    _tool("pg_dump", "--format=custom", *options, f"--file={dump}", source.urls[admin])
    owner = "managed" if admin == "managed" else "admin"
    urls = _create(target_server, f"restored_by_{admin}", owner)
    target = _settings(urls[admin], tmp_path)
    migrate(target)
    _tool(
        *("pg_restore", "--clean", "--if-exists", "--single-transaction", "--exit-on-error"),
        *(f"--dbname={urls[admin]}", dump),
    )
    migrate(target)
    assert _rows(urls["superuser"]) == source.rows
    assert source.rows["marts.customer_facts"] == 2
    assert [found for found in examine(target) if found.level == "error"] == []
    with open_pool(target) as pool:
        _assert_isolated_and_readable(target, pool, source.tenants)
    # Builds work: dbt's role owns its tables again.
    build(target, tenants=["north"], as_of=AS_OF.isoformat(), quiet=True)


def _assert_isolated_and_readable(target: Settings, pool: Pool, tenants: list[UUID]) -> None:
    with pool.connection() as conn:
        assert conn.execute("select * from shopify.orders").fetchall() == []
    for tenant_id in tenants:
        with tenant_transaction(pool, tenant_id, read_only=True) as conn:
            orders = conn.execute("select tenant_id from shopify.orders").fetchall()
            scored = conn.execute(
                "select tenant_id, monetary_total from marts.customer_rfm_segments"
            ).fetchall()
            stored = find_connection(conn, tenant_id, "shopify")
        assert [row["tenant_id"] for row in orders] == [tenant_id]
        assert [(row["tenant_id"], str(row["monetary_total"])) for row in scored] == [
            (tenant_id, "10.50")
        ]
        assert unseal(target, tenant_id, "shopify", stored) == f"shpat_{tenant_id}"
