"""A few flows and faults of ``python -m tests.faults``, at two points each.

The command tries every flow with every fault, at more points.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conftest import Cluster
from tests.faults.flows import FLOWS
from tests.faults.harness import Attempt, Harness, harness, try_all

pytestmark = pytest.mark.kill

POINTS = 2


@pytest.fixture(scope="module")
def made(cluster: Cluster) -> Iterator[Harness]:
    with harness(cluster) as made:
        yield made


@pytest.mark.parametrize(
    ("flow", "faults"),
    [
        ("pull", ["kill", "network"]),
        ("promo codes", ["database", "storm"]),
    ],
)
def test_a_disturbed_flow_ends_as_if_undisturbed(
    made: Harness, flow: str, faults: list[str]
) -> None:
    attempts: list[Attempt] = []
    try_all(made, [flow], faults, POINTS, attempts.append)
    assert [attempt for attempt in attempts if attempt.problems] == []
    assert {attempt.fault for attempt in attempts if attempt.has_struck} == set(faults)
    assert flow in FLOWS
