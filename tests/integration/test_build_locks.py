"""Build locks: tenants build at the same time, one tenant's builds in turn, a new release alone."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import Any
from uuid import UUID

import psycopg
import pytest

from service.builds import locks
from service.builds.locks import build_lock, project_checksum, tenant_lock
from service.core.config import Settings
from service.core.db import Connection, connect, connect_as_owner
from service.tenants.tenants import add_tenant
from tests.conftest import PROJECT_DIR

TENANTS = ("anna", "bert", "cleo")
LOCKS_HERE = """
    from pg_locks
    where locktype = 'advisory'
        and database = (select oid from pg_database where datname = current_database())
"""
WAITING = f"select count(*) as n {LOCKS_HERE} and not granted"


@pytest.fixture
def ids(built_settings: Settings) -> dict[str, UUID]:
    with connect_as_owner(built_settings) as owner:
        return {name: add_tenant(owner, name) for name in TENANTS}


@pytest.fixture
def watcher(built_settings: Settings) -> Iterator[Connection]:
    with connect(built_settings.database_url) as conn:
        yield conn


@pytest.fixture
def messages() -> list[str]:
    return []


Take = Callable[..., Any]
Elsewhere = Callable[[Any], "Holder"]


@pytest.fixture
def take(built_settings: Settings, ids: dict[str, UUID], messages: list[str]) -> Take:
    """The lock of a build: ``take("anna")``; of all tenants without a name."""

    def lock(*tenants: str, full_refresh: bool = False) -> Any:
        return build_lock(
            built_settings, tenants, full_refresh=full_refresh, report=messages.append
        )

    return lock


@dataclass(frozen=True)
class Holder:
    """Takes a lock in another thread, and holds it until ``over`` is set."""

    lock: Any
    taken: Future[Any] = field(default_factory=Future)
    over: Event = field(default_factory=Event)

    def hold(self) -> None:
        try:
            with self.lock as what:
                self.taken.set_result(what)
                self.over.wait()
        except psycopg.OperationalError:
            # The test has ended the connection.
            assert self.taken.done()

    def tenants(self) -> tuple[str, ...]:
        """Wait for the lock."""
        tenants: tuple[str, ...] = self.taken.result().tenants
        return tenants


@pytest.fixture
def elsewhere() -> Iterator[Callable[[Any], Holder]]:
    with ThreadPoolExecutor() as executor:
        holders: list[tuple[Holder, Future[None]]] = []

        def hold(lock: Any) -> Holder:
            holder = Holder(lock)
            holders.append((holder, executor.submit(holder.hold)))
            return holder

        yield hold
        for holder, _ in holders:
            holder.over.set()
        for _, holding in holders:
            holding.result()


def await_waiting(watcher: Connection, waiting: int = 1) -> None:
    """Wait until this many connections wait for a lock."""
    while watcher.execute(WAITING).fetchone() != {"n": waiting}:
        time.sleep(0.01)


def test_builds_of_different_tenants_run_at_the_same_time(take: Take, messages: list[str]) -> None:
    with take("anna") as first, take("bert", "cleo") as second:
        assert (first.tenants, second.tenants) == (("anna",), ("bert", "cleo"))
        assert first.slot != second.slot
    with take("anna") as again:
        assert again.slot == first.slot
    assert messages == []


def test_a_build_of_all_blocks_builds_of_its_tenants_only(
    take: Take,
    elsewhere: Elsewhere,
    messages: list[str],
    watcher: Connection,
    built_settings: Settings,
) -> None:
    all_tenants = elsewhere(take())
    assert all_tenants.tenants() == TENANTS
    with connect_as_owner(built_settings) as owner:
        add_tenant(owner, "dora")
    with take("dora") as newcomer:
        assert newcomer.tenants == ("dora",)
    assert messages == []
    again = elsewhere(take("bert"))
    await_waiting(watcher)
    while not messages:
        time.sleep(0.01)
    assert messages == ["waiting for another build of the same tenant to finish"]
    assert not again.taken.done()
    all_tenants.over.set()
    assert again.tenants() == ("bert",)


def test_builds_with_several_common_tenants_do_not_deadlock(
    take: Take, elsewhere: Elsewhere, watcher: Connection
) -> None:
    in_the_way = elsewhere(take("bert"))
    assert in_the_way.tenants() == ("bert",)
    both = [elsewhere(take("anna", "bert")), elsewhere(take("bert", "anna", "cleo"))]
    await_waiting(watcher, 2)
    assert not any(holder.taken.done() for holder in both)
    for holder in (*both, in_the_way):
        holder.over.set()
    assert [len(holder.tenants()) for holder in both] == [2, 3]


@pytest.mark.parametrize("reason", ["a new release", "a view is missing", "--full-refresh"])
def test_a_build_that_may_change_tables_and_views_runs_alone(
    reason: str, take: Take, elsewhere: Elsewhere, watcher: Connection, messages: list[str]
) -> None:
    if reason == "a new release":
        watcher.execute("update app.built_project set checksum = 'of the former release'")
    elif reason == "a view is missing":
        watcher.execute("drop view marts.customers cascade")
    alone = elsewhere(take("anna", full_refresh=reason == "--full-refresh"))
    assert alone.tenants() == ("anna",)
    other = elsewhere(take("bert"))
    await_waiting(watcher)
    assert not other.taken.done()
    alone.over.set()
    assert other.tenants() == ("bert",)
    assert messages == ["waiting for another build to finish"]


def test_a_build_that_runs_alone_waits_for_all_others(
    take: Take, elsewhere: Elsewhere, watcher: Connection
) -> None:
    sharing = [elsewhere(take("anna")), elsewhere(take("bert"))]
    assert [holder.tenants() for holder in sharing] == [("anna",), ("bert",)]
    alone = elsewhere(take(full_refresh=True))
    for holder in sharing:
        await_waiting(watcher)
        assert not alone.taken.done()
        holder.over.set()
    assert alone.tenants() == ()


def test_after_the_first_build_of_a_release_builds_run_at_the_same_time(
    take: Take, watcher: Connection
) -> None:
    watcher.execute("delete from app.built_project")
    with take("anna"):
        pass
    with take("anna"), take("bert"):
        pass


def test_a_failed_first_build_of_a_release_is_not_recorded(take: Take, watcher: Connection) -> None:
    watcher.execute("delete from app.built_project")
    with pytest.raises(ZeroDivisionError), take("anna"):
        raise ZeroDivisionError
    assert watcher.execute("select * from app.built_project").fetchall() == []


def test_the_checksum_covers_every_file_that_decides_tables_and_views(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("models", "macros", "seeds"):
        shutil.copytree(PROJECT_DIR / name, tmp_path / name)
    shutil.copy(PROJECT_DIR / "dbt_project.yml", tmp_path)
    before = project_checksum()
    monkeypatch.setattr(locks, "PROJECT_DIR", tmp_path)
    assert project_checksum() == before
    seen = {before}
    for changed in (
        "models/marts/customers/customers.sql",
        "models/marts/customers/customers.yml",
        "macros/tenancy/protect.sql",
        "seeds/relay_domains.csv",
        "dbt_project.yml",
    ):
        (tmp_path / changed).write_text("other")
        assert project_checksum() not in seen
        seen.add(project_checksum())


def test_a_build_of_more_tenants_than_can_be_locked_runs_alone(
    take: Take, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "MAX_TENANTS", 2)
    with take("anna", "bert") as two:
        assert two.tenants == ("anna", "bert")
    with take() as all_of_them:
        assert all_of_them.tenants == ()


def test_a_build_of_all_runs_alone_to_delete_rows_of_erased_tenants(
    take: Take, watcher: Connection
) -> None:
    """A build of tenants by name would keep those rows."""
    watcher.execute(
        "insert into marts.rfm_builds (tenant_id, as_of, window_starts_at, window_days, time_zone,"
        " currency_exponent) values (gen_random_uuid(), now(), now(), 365, 'UTC', 2)"
    )
    with take() as all_tenants:
        assert all_tenants.tenants == ()
    with take("anna") as one_of_them:
        assert one_of_them.tenants == ("anna",)


def test_a_tenant_erased_while_the_build_waited_is_left_out(
    take: Take, elsewhere: Elsewhere, watcher: Connection, ids: dict[str, UUID]
) -> None:
    erasing = elsewhere(take("anna"))
    assert erasing.tenants() == ("anna",)
    both = elsewhere(take("anna", "bert"))
    await_waiting(watcher)
    watcher.execute("delete from app.tenants where tenant_id = %s", [ids["anna"]])
    erasing.over.set()
    assert both.tenants() == ("bert",)


def test_an_erasure_and_builds_of_its_tenant_exclude_each_other(
    take: Take,
    elsewhere: Elsewhere,
    watcher: Connection,
    built_settings: Settings,
    ids: dict[str, UUID],
) -> None:
    with take("bert"), tenant_lock(built_settings, ids["anna"], pytest.fail):
        pass
    erasing = elsewhere(tenant_lock(built_settings, ids["anna"], pytest.fail))
    erasing.taken.result()
    build = elsewhere(take("anna"))
    await_waiting(watcher)
    assert not build.taken.done()
    erasing.over.set()
    assert build.tenants() == ("anna",)


def test_a_dead_process_leaves_no_lock(
    take: Take, elsewhere: Elsewhere, watcher: Connection
) -> None:
    assert elsewhere(take("anna")).tenants() == ("anna",)
    watcher.execute(f"select pg_terminate_backend(pid) {LOCKS_HERE}")  # type: ignore[call-overload]
    with take("anna") as again:
        assert again.tenants == ("anna",)
