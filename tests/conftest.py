"""Fixtures every suite shares: a real PostgreSQL, one database per test, real sandbox servers.

One embedded cluster serves a test session. Databases are cloned from templates, so that a test
gets a migrated (or built, or demo) database of its own in a few hundredths of a second.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, date, datetime
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import psycopg
import pytest
from psycopg import sql

from service.builds.run import build
from service.core import embedded
from service.core.config import Settings
from service.core.db import (
    Connection,
    Pool,
    connect,
    connect_as_owner,
    create_pool,
    open_pool,
    url_parts,
)
from service.migrate import migrate
from service.tenants.tenants import add_tenant, change_tenant

if TYPE_CHECKING:
    from sandbox import Sandbox

PROJECT_DIR = Path(__file__).resolve().parent.parent
SHARED_DIR = PROJECT_DIR.parent / "shared"

# The sandbox's two years of history end here, and the demo templates are built as of here.
ANCHOR = date(2026, 7, 1)
AS_OF = datetime(2026, 7, 1, tzinfo=UTC)


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Where everything has to be there, a skipped test is a failed run."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    skipped = len(reporter.stats.get("skipped", [])) if reporter else 0
    if skipped and os.environ.get("QUINTILE_REQUIRE_ALL_TESTS"):
        reporter.write_line(f"{skipped} skipped, and QUINTILE_REQUIRE_ALL_TESTS is set", red=True)
        session.exitstatus = exitstatus or pytest.ExitCode.TESTS_FAILED


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    """Reference data and official specifications, where they are at hand."""
    if not SHARED_DIR.is_dir():
        pytest.skip("the reference data and specifications (../shared) are not on this machine")
    return SHARED_DIR


class NullProgress:
    """Progress nobody watches; the counters can be read."""

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


@pytest.fixture
def null_progress() -> NullProgress:
    return NullProgress()


class Cluster:
    """A PostgreSQL server with template databases.

    A database that is gone, or has become a template, leaves its name to the next one: what dbt
    has parsed holds the name of the database, and is kept in the home of all who have that name.
    """

    def __init__(self, admin_url: str, home: Path) -> None:
        self.admin_url = admin_url
        self.home = home
        self._taken: set[str] = set()
        self._templates = count(1)

    def settings(self, database: str, **changes: Any) -> Settings:
        url = self.admin_url.replace("/postgres?", f"/{database}?")
        return Settings(
            **{
                "database_url": url,
                "home": str(self.home / database),
                "secret_key": "a secret for tests",
                **changes,
            }
        )

    def create(self, template: str = "template1") -> str:
        name = next(name for n in count(1) if (name := f"test_{n}") not in self._taken)
        self._taken.add(name)
        self._run("create database {} template {}", name, template)
        return name

    def keep(self, name: str) -> str:
        """Make a database a template, which has another name from now on."""
        kept = f"template_{next(self._templates)}"
        # What was let go of may still be on its way out.
        self._run("alter database {} with allow_connections false", name)
        with closing(psycopg.connect(self.admin_url, autocommit=True)) as conn:
            conn.execute(
                "select pg_terminate_backend(pid, 5000) from pg_stat_activity where datname = %s",
                [name],
            )
        self._run("alter database {} rename to {}", name, kept)
        self._run("alter database {} with allow_connections true", kept)
        self._taken.discard(name)
        return kept

    def drop(self, name: str) -> None:
        self._run("drop database if exists {} with (force)", name)
        self._taken.discard(name)

    def _run(self, statement: Any, *names: str) -> None:
        with closing(psycopg.connect(self.admin_url, autocommit=True)) as conn:
            conn.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))

    @contextmanager
    def database(self, template: str) -> Iterator[Settings]:
        name = self.create(template)
        try:
            yield self.settings(name)
        finally:
            self.drop(name)


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    home = Path(tempfile.mkdtemp(prefix="quintile-test-"))
    data_dir = home / "pg"
    url = embedded.start(data_dir).replace(f"/{embedded.DATABASE}?", "/postgres?")
    with closing(psycopg.connect(url, autocommit=True)) as conn:
        # Nothing here has to survive a power cut.
        for name in ("fsync", "synchronous_commit", "full_page_writes"):
            conn.execute(sql.SQL("alter system set {} = off").format(sql.Identifier(name)))
        conn.execute("select pg_reload_conf()")
    yield Cluster(url, home)
    embedded.stop(data_dir)
    shutil.rmtree(home)


@pytest.fixture(scope="session")
def migrated_template(cluster: Cluster) -> str:
    name = cluster.create()
    migrate(cluster.settings(name))
    return cluster.keep(name)


@pytest.fixture(scope="session")
def built_template(cluster: Cluster, migrated_template: str) -> str:
    """Migrated, and built by dbt without a tenant: every mart exists and is empty."""
    name = cluster.create(migrated_template)
    build(cluster.settings(name), as_of=AS_OF.isoformat(), quiet=True)
    return cluster.keep(name)


@pytest.fixture(scope="session")
def demo_template(cluster: Cluster, migrated_template: str, sandbox: Sandbox) -> str:
    """Both sandbox stores, connected, synced and built as of the sandbox's last day."""
    name = cluster.create(migrated_template)
    make_demo(sandbox_settings(cluster.settings(name), sandbox), sandbox)
    return cluster.keep(name)


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


@pytest.fixture
def settings(cluster: Cluster, migrated_template: str) -> Iterator[Settings]:
    """Settings with a migrated database of this test's own."""
    with cluster.database(migrated_template) as settings:
        yield settings


@pytest.fixture
def built_settings(cluster: Cluster, built_template: str) -> Iterator[Settings]:
    """Settings with a database in which every mart exists and is empty."""
    with cluster.database(built_template) as settings:
        yield settings


@pytest.fixture
def built_demo(cluster: Cluster, demo_template: str, sandbox: Sandbox) -> Iterator[Settings]:
    """Settings with the two demo tenants, synced and built."""
    with cluster.database(demo_template) as settings:
        yield sandbox_settings(settings, sandbox)


@pytest.fixture
def pool(settings: Settings) -> Iterator[Pool]:
    """The service's pool, as quintile_app."""
    pool = create_pool(settings)
    yield pool
    pool.close()


@pytest.fixture
def owner(settings: Settings) -> Iterator[Connection]:
    """A connection that acts as quintile_owner."""
    with connect_as_owner(settings) as conn:
        yield conn


@pytest.fixture
def superuser(settings: Settings) -> Iterator[Connection]:
    """The database's admin, whom row level security does not hold."""
    with connect(settings.database_url) as conn:
        yield conn


MakeTenant = Callable[..., UUID]


@pytest.fixture
def make_tenant(owner: Connection) -> MakeTenant:
    """Adds a tenant: ``make_tenant(name="demo", shop=None, **settings of change_tenant)``."""

    def make(name: str = "demo", shop: str | None = None, **changes: Any) -> UUID:
        tenant_id = add_tenant(owner, name, shop)
        if changes:
            change_tenant(owner, tenant_id, **changes)
        return tenant_id

    return make


@pytest.fixture(scope="session")
def sandbox() -> Iterator[Sandbox]:
    """The two sandbox servers; a test that changes their state starts its own."""
    from sandbox import start_sandbox

    with start_sandbox(seed=1, anchor=ANCHOR) as sandbox:
        yield sandbox


def sandbox_settings(settings: Settings, sandbox: Sandbox) -> Settings:
    """The same settings, talking to the sandbox."""
    from dataclasses import replace

    return replace(settings, shopify_url=sandbox.shopify_url, klaviyo_url=sandbox.klaviyo_url)


@pytest.fixture(scope="session")
def pooler(cluster: Cluster) -> Iterator[str]:
    """PgBouncer in transaction mode, in front of the cluster."""
    from tests.pgbouncer import pgbouncer

    with pgbouncer(cluster.admin_url) as url:
        yield url


def pooled_settings(settings: Settings, pooler: str) -> Settings:
    """The same settings, with PgBouncer between the service and the database."""
    from dataclasses import replace

    database = url_parts(settings.database_url)["dbname"]
    return replace(settings, app_database_url=pooler.format(database=database))
