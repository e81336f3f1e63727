"""``python -m tests.mutation``: remove each guard, and report those that no test notices.

``--only EXPRESSION`` takes the guards of the code whose name or file matches a regular expression,
and nothing else. Exit status 1 says that something survived.
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
from pathlib import Path

from service.core.queries import read_statements
from tests.mutation import database, models
from tests.mutation.guards import GUARDS
from tests.mutation.sources import UnclearError, copied_sources, is_noticed, run_tests
from tests.unit.test_tenant_predicates import FOR_ALL_TENANTS, findings, without_predicates

Outcome = tuple[int, list[str]]


def guards_of_code(only: str) -> Outcome:
    """Remove guards of the code whose name or file matches a regular expression."""
    chosen = sorted(
        (guard for guard in GUARDS if re.search(only, f"{guard.name} {guard.file}")),
        key=lambda guard: guard.has_own_templates,
    )
    survivors = []
    with copied_sources() as copy:
        tests = sorted({test for guard in chosen for test in guard.tests})
        if failure := run_tests(copy, tests):
            raise UnclearError(f"Without a mutation: {failure[-2000:]}")
        for guard in chosen:
            noticed = is_noticed(copy, guard)
            print(f"  {'killed' if noticed else 'SURVIVED'}  {guard.name}", flush=True)
            if not noticed:
                survivors.append(guard.name)
    return len(chosen), survivors


def tenants_in_statements() -> Outcome:
    """Remove the tenant from each predicate of the service's statements."""
    survivors, removed = [], 0
    for name, text in read_statements().items():
        for changed, alias in without_predicates(text) if name not in FOR_ALL_TENANTS else ():
            removed += 1
            if not findings(name, changed):
                survivors.append(f"{name} ({alias})")
    return removed, survivors


def tenants_in_models() -> Outcome:
    """Remove the tenant from each join, window and comparison of a model."""
    survivors, removed = [], 0
    with tempfile.TemporaryDirectory() as target, database.database(is_built=True) as settings:
        for name, text in models.model_statements(settings, Path(target)):
            for changed, line in models.without_tenant(text):
                removed += 1
                if not models.findings(changed):
                    survivors.append(f"{name}: {line}")
    return removed, survivors


def main() -> int:
    """Run all, print the counts, and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__)
    parser.add_argument("--only", help="a regular expression for names and files of guards")
    only = parser.parse_args().only
    outcomes = {}
    if only is None:
        outcomes = {
            "tenant in a predicate of a statement": tenants_in_statements(),
            "tenant in a join of a model": tenants_in_models(),
            "policy, FORCE, privilege or rights of a view": database.survivors(),
            "query of the isolation check": database.survivors_of_the_check(),
        }
    outcomes["guard of the code"] = guards_of_code(only or "")
    for what, (removed, survivors) in outcomes.items():
        print(f"{what}: {removed} removed, {removed - len(survivors)} killed")
        for survivor in survivors:
            print(f"  survived: {survivor}")
    return int(any(survivors for _, survivors in outcomes.values()))


if __name__ == "__main__":
    sys.exit(main())
