"""Fixtures every suite shares: a real PostgreSQL, one database per test, real sandbox servers.

Databases are cloned from templates (see tests.cluster), so that a test gets a migrated (or built,
or demo) database of its own in a few hundredths of a second.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from service.builds.run import build
from service.core.config import PROJECT_DIR, Settings
from service.core.db import Connection, Pool, connect, connect_as_owner, create_pool, url_parts
from service.core.errors import QuintileError
from service.migrate import migrate
from service.tenants.tenants import add_tenant, change_tenant
from tests.cluster import Cluster, demo_digest, models_digest, schema_digest, shared_cluster
from tests.demo import ANCHOR, AS_OF, NullProgress, make_demo
from tests.shops import small_shop
from tests.warm_dbt import server

if TYPE_CHECKING:
    from apiflask import APIFlask
    from flask.testing import FlaskClient

    from sandbox import Sandbox
    from sandbox.klaviyo.state import Account
    from sandbox.shopify import Store

SHARED_DIR = PROJECT_DIR.parent / "shared"
_LAST = ("kill", "upgrade", "backup")
_SAYS_EVERY_SECONDS = 300


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Where everything has to be there, a skipped test is a failed run."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    skipped = len(reporter.stats.get("skipped", [])) if reporter else 0
    if skipped and os.environ.get("QUINTILE_REQUIRE_ALL_TESTS"):
        reporter.write_line(f"{skipped} skipped, and QUINTILE_REQUIRE_ALL_TESTS is set", red=True)
        session.exitstatus = exitstatus or pytest.ExitCode.TESTS_FAILED


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run last what is slow and says little about one change: kills, upgrades and backups."""
    items.sort(key=lambda item: any(item.get_closest_marker(name) for name in _LAST))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    call: pytest.CallInfo[None],
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Name the detail of our errors in the summary, such as what dbt said of a failed build."""
    report = yield
    error = call.excinfo.value if call.excinfo else None
    if isinstance(error, QuintileError) and hasattr(report.longrepr, "reprcrash"):
        report.longrepr.reprcrash.message += f" ({error.detail})"
    return report


class _Progress:
    """Says at once what has failed, and every few minutes what is running.

    A run that a clock ends prints no summary.
    """

    def __init__(self, reporter: pytest.TerminalReporter) -> None:
        self.reporter = reporter
        self.began = self.said = time.monotonic()
        self.running: dict[str, float] = {}

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self.running[nodeid] = time.monotonic()

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        self.running.pop(nodeid, None)
        now = time.monotonic()
        if now - self.said >= _SAYS_EVERY_SECONDS:
            self.said = now
            self.reporter.write_line(f"\nafter {(now - self.began) / 60:.0f} minutes, running:")
            for test, since in self.running.items():
                self.reporter.write_line(f"  {test} for {now - since:.0f} s")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.reporter.write_line(f"\n{report.when} of {report.nodeid} failed:", red=True)
            self.reporter.write_line(report.longreprtext[-4000:])


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if reporter and not hasattr(config, "workerinput"):
        config.pluginmanager.register(_Progress(reporter))


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    """Reference data and official specifications, where they are at hand."""
    if not SHARED_DIR.is_dir():
        pytest.skip("the reference data and specifications (../shared) are not on this machine")
    return SHARED_DIR


@pytest.fixture
def null_progress() -> NullProgress:
    return NullProgress()


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    with shared_cluster() as cluster:
        yield cluster


@pytest.fixture(scope="session")
def migrated_template(cluster: Cluster) -> str:
    def make(settings: Settings) -> None:
        migrate(settings)

    return cluster.template("migrated", schema_digest(), make)


@pytest.fixture(scope="session")
def built_template(cluster: Cluster, migrated_template: str) -> str:
    """Migrated, and built by dbt without a tenant: every mart exists and is empty."""

    def make(settings: Settings) -> None:
        build(settings, as_of=AS_OF.isoformat(), quiet=True)

    return cluster.template("built", models_digest(), make, migrated_template)


@pytest.fixture(scope="session")
def demo_template(cluster: Cluster, migrated_template: str, sandbox: Sandbox) -> str:
    """Both sandbox stores, connected, synced and built as of the sandbox's last day."""

    def make(settings: Settings) -> None:
        make_demo(sandbox_settings(settings, sandbox), sandbox)

    return cluster.template("demo", demo_digest(), make, migrated_template)


@pytest.fixture(scope="session", autouse=True)
def _warm_dbt() -> Iterator[None]:
    """Start dbt warm for builds in this process; processes of their own start it cold."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("service.builds.run.default_dbt", server)
        yield


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
    """The database's admin, to which row level security does not apply."""
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
    return replace(settings, shopify_url=sandbox.shopify_url, klaviyo_url=sandbox.klaviyo_url)


@pytest.fixture(scope="session")
def pooler(cluster: Cluster) -> Iterator[str]:
    """PgBouncer in transaction mode, in front of the cluster."""
    from tests.pgbouncer import pgbouncer

    with pgbouncer(cluster.admin_url) as url:
        yield url


def pooled_settings(settings: Settings, pooler: str) -> Settings:
    """The same settings, with PgBouncer between the service and the database."""
    database = url_parts(settings.database_url)["dbname"]
    return replace(settings, app_database_url=pooler.format(database=database))


@pytest.fixture
def store() -> Store:
    """The content of a small store."""
    from sandbox.shopify import Store

    return Store(small_shop())


@pytest.fixture
def shop(store: Store) -> Iterator[Sandbox]:
    """A Shopify sandbox of this test's own, with ``store``."""
    from sandbox import Sandbox

    with Sandbox([store], []) as sandbox:
        yield sandbox


@pytest.fixture
def shopify_settings(settings: Settings, shop: Sandbox) -> Settings:
    """The settings, talking to ``shop``."""
    return replace(settings, shopify_url=shop.shopify_url)


@pytest.fixture
def tenant(shopify_settings: Settings, pool: Pool, make_tenant: MakeTenant, store: Store) -> UUID:
    """A tenant that is connected to ``store``."""
    from service.shopify.connection import connect_shopify

    tenant_id = make_tenant("kessel", store.data.domain)
    connect_shopify(shopify_settings, pool, tenant_id, store.data.domain, store.data.token)
    return tenant_id


@pytest.fixture
def klaviyo(account: Account) -> Iterator[Sandbox]:
    """A Klaviyo sandbox of this test's own, with the test's ``account``."""
    from sandbox import Sandbox

    with Sandbox([], [account]) as sandbox:
        yield sandbox


@pytest.fixture
def klaviyo_settings(settings: Settings, klaviyo: Sandbox) -> Settings:
    """The settings, talking to ``klaviyo``."""
    return replace(settings, klaviyo_url=klaviyo.klaviyo_url)


@pytest.fixture
def tenants(settings: Settings) -> list[UUID]:
    """Two tenants without a store."""
    with connect_as_owner(settings) as conn:
        return [add_tenant(conn, name) for name in ("north", "south")]


@pytest.fixture
def app(settings: Settings) -> Iterator[APIFlask]:
    """The web service."""
    from tests.web import running_app

    with running_app(settings) as app:
        yield app


@pytest.fixture
def client(app: APIFlask, settings: Settings, tenant: UUID) -> FlaskClient:
    """A client of the web service, signed in as the tenant."""
    from tests.web import client_of

    return client_of(app, settings, tenant)
