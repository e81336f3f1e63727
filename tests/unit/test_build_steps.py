"""dbt's output is read as progress."""

from __future__ import annotations

import pytest

from service.builds.run import _STEP


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("16:33:29  79 of 89 START test not_null_orders_tenant_id ... [RUN]", ("79", "89")),
        ("16:33:29  1 of 149 START sql view model staging.stg_app__tenants . [RUN]", ("1", "149")),
        # Hooks have their own numbers, and would restart the progress.
        ("16:33:29  1 of 2 START hook: quintile.on-run-start.0 ... [RUN]", None),
        ("16:33:29  79 of 89 OK created sql view model staging.stg_app__tenants ", None),
    ],
)
def test_models_and_tests_are_steps_but_hooks_are_not(
    line: str, found: tuple[str, str] | None
) -> None:
    step = _STEP.search(line)
    assert (step.groups() if step else None) == found
