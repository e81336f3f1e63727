"""The list of guards that ``python -m tests.mutation`` removes is up to date, and works."""

from __future__ import annotations

from dataclasses import replace

import pytest

from service.core.config import PROJECT_DIR
from tests.mutation.guards import GUARDS, Guard
from tests.mutation.sources import UnclearError, copied_sources, is_noticed, mutated

BY_NAME = {guard.name: guard for guard in GUARDS}
# Their tests need no database.
CHEAP = ("weak secret keys", "credentials in logs")


@pytest.mark.parametrize("guard", GUARDS, ids=lambda guard: guard.name)
def test_each_guard_is_there_and_has_tests(guard: Guard) -> None:
    text = (PROJECT_DIR / guard.file).read_text()
    changed = mutated(text, guard)
    assert changed != text
    if guard.file.endswith(".py"):
        compile(changed, guard.file, "exec")
    assert guard.tests
    for test in guard.tests:
        file, _, name = test.partition("::")
        assert f"\ndef {name}(" in (PROJECT_DIR / "tests" / file).read_text()


def test_guards_have_names_of_their_own() -> None:
    assert len(BY_NAME) == len(GUARDS)


def test_a_guard_that_is_not_there_is_an_error() -> None:
    with pytest.raises(UnclearError, match="0 times"):
        mutated("", GUARDS[0])


def test_missing_guards_are_noticed_and_harmless_changes_are_not() -> None:
    harmless = replace(BY_NAME[CHEAP[0]], replacement=f"{BY_NAME[CHEAP[0]].text}  # harmless")
    with copied_sources() as copy:
        assert [is_noticed(copy, BY_NAME[name]) for name in CHEAP] == [True] * len(CHEAP)
        assert not is_noticed(copy, harmless)
