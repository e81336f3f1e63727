"""Starting and stopping the embedded PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from service.core import embedded
from service.core.db import connect
from service.core.errors import EmbeddedDatabaseError


@pytest.fixture
def data_dir(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "home" / "pg"
    yield path
    embedded.stop(path)


def test_starting_creates_the_cluster_and_starting_again_finds_it_running(data_dir: Path) -> None:
    url = embedded.start(data_dir)
    with connect(url) as conn:
        pid = conn.execute("select pg_postmaster_start_time() as at").fetchone()
    assert embedded.start(data_dir) == url
    with connect(url) as conn:
        assert conn.execute("select pg_postmaster_start_time() as at").fetchone() == pid


def test_data_is_kept_over_a_restart(data_dir: Path) -> None:
    with connect(embedded.start(data_dir)) as conn:
        conn.execute("create table kept as select 42 as answer")
    assert embedded.stop(data_dir)
    assert not embedded.stop(data_dir)
    with connect(embedded.start(data_dir)) as conn:
        assert conn.execute("select answer from kept").fetchone() == {"answer": 42}


def test_text_has_the_locale_of_postgresql_itself(data_dir: Path) -> None:
    """The same on every system: sorted by code points, and letters beyond ASCII have a case."""
    with connect(embedded.start(data_dir)) as conn:
        row = conn.execute(
            "select datlocprovider as provider, datlocale as locale, lower('ÅÉŻ') as lower,"
            " array(select t from unnest(array['é', 'a', 'Z', 'b']) as t order by t) as sorted"
            " from pg_database where datname = current_database()"
        ).fetchone()
    assert row == {
        "provider": "b",
        "locale": "C.UTF-8",
        "lower": "åéż",
        "sorted": ["Z", "a", "b", "é"],
    }


def test_a_directory_with_a_long_path_works(tmp_path: Path) -> None:
    """A socket's path has about 100 characters; a checkout's may have more."""
    data_dir = tmp_path / ("long" * 30) / "pg"
    try:
        with connect(embedded.start(data_dir)) as conn:
            assert conn.execute("select 1 as one").fetchone() == {"one": 1}
    finally:
        embedded.stop(data_dir)


def test_too_little_disk_is_reported(tmp_path: Path) -> None:
    with pytest.raises(EmbeddedDatabaseError, match=r"MiB of disk are free under .* are needed"):
        embedded.require_disk(tmp_path / "not" / "there" / "yet", needed_bytes=2**60)


def test_a_directory_that_cannot_be_created_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(EmbeddedDatabaseError, match="did not start"):
        embedded.start(tmp_path / "file" / "pg")


def test_other_users_cannot_open_the_socket(data_dir: Path) -> None:
    """The server asks for no password."""
    with connect(embedded.start(data_dir)) as conn:
        row = conn.execute("show unix_socket_permissions").fetchone()
    assert row == {"unix_socket_permissions": "0700"}
