"""Named SQL statements: every name is known, unique, used, and a literal in the code.

And what migrations grant to the service is in the list of its privileges.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from service.core.queries import QueryNameError, check_queries, load_queries, query
from tests.conftest import PROJECT_DIR


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A service with one package, one statement and one caller."""
    (tmp_path / "lists" / "sql").mkdir(parents=True)
    write_sql(tmp_path, "-- name: find_list\n-- A list.\nselect 1;\n")
    write_code(tmp_path, 'conn.execute(query("lists.find_list"))')
    return tmp_path


def write_sql(service_dir: Path, text: str, noun: str = "lists") -> None:
    (service_dir / "lists" / "sql" / f"{noun}.sql").write_text(text)


def write_code(service_dir: Path, text: str) -> None:
    (service_dir / "lists" / "code.py").write_text(text)


def test_every_statement_of_the_service_is_known_and_used() -> None:
    load_queries()


def test_a_package_without_mistakes_passes(package: Path) -> None:
    check_queries(package)


def test_an_unknown_name_is_refused(package: Path) -> None:
    write_code(package, 'query("lists.find_list"), query("lists.find_lost")')
    with pytest.raises(QueryNameError, match=r"no statement lists\.find_lost"):
        check_queries(package)


def test_an_unused_statement_is_refused(package: Path) -> None:
    write_code(package, "pass")
    with pytest.raises(QueryNameError, match=r"Nothing runs the statement lists\.find_list"):
        check_queries(package)


def test_a_name_in_two_files_is_refused(package: Path) -> None:
    write_sql(package, "-- name: find_list\n-- Another.\nselect 2;\n", noun="members")
    with pytest.raises(QueryNameError, match="find_list twice"):
        check_queries(package)


@pytest.mark.parametrize(
    "call", ["query(name)", 'query(f"lists.{name}")', 'query("lists." + name)']
)
def test_a_composed_name_is_refused(package: Path, call: str) -> None:
    write_code(package, f'query("lists.find_list"), {call}')
    with pytest.raises(QueryNameError, match="without a literal name"):
        check_queries(package)


@pytest.mark.parametrize(
    "text",
    ["select 1;", "-- A comment.\n-- name: find_list\nselect 1;", "-- name: Find list\nselect"],
)
def test_a_statement_without_a_proper_name_is_refused(package: Path, text: str) -> None:
    write_sql(package, text)
    with pytest.raises(QueryNameError):
        check_queries(package)


def test_a_statement_is_sent_without_its_name_and_terminator() -> None:
    text = query("core.begin_as_tenant").as_string()
    assert text.startswith("--")
    assert "name:" not in text
    assert not text.endswith(";")


def test_the_error_of_an_unknown_statement_has_its_name() -> None:
    with pytest.raises(QueryNameError, match=r"klaviyo\.no_such"):
        query("klaviyo.no_such")


def test_every_statement_says_what_it_is_for() -> None:
    silent = [
        f"{path.relative_to(PROJECT_DIR)}: {name}"
        for path in sorted((PROJECT_DIR / "service").glob("*/sql/*.sql"))
        for name, text in statements(path)
        if not text.startswith("-- ")
    ]
    assert silent == []


def statements(path: Path) -> list[tuple[str, str]]:
    parts = path.read_text().split("-- name: ")[1:]
    return [(part.partition("\n")[0], part.partition("\n")[2]) for part in parts]


def test_what_migrations_grant_to_the_service_is_in_the_list_of_privileges() -> None:
    """In short; tests/isolation compares the lists with a database."""
    listed = (PROJECT_DIR / "sql/rls/findings.sql").read_text(encoding="utf-8")
    migrations = sorted((PROJECT_DIR / "sql/migrations").glob("*.sql"))
    text = "\n".join(path.read_text(encoding="utf-8") for path in migrations)
    grants = re.findall(r"grant [^;]*? on ([^;]*?) to [^;]*?quintile_app", text)
    granted = {name for names in grants for name in re.findall(r"\b(?:app|shopify)\.\w+", names)}
    granted |= set(re.findall(r"create (?:or replace )?(?:function|procedure) (app\.\w+)", text))
    dropped = set(re.findall(r"drop (?:table|view|function) (?:if exists )?(app\.\w+)", text))
    missing = {
        name
        for name in granted - dropped
        if f"'{name}'" not in listed and f"('{name.removeprefix('app.')}')" not in listed
    }
    assert missing == set()
