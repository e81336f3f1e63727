"""A few flows and faults of ``python -m tests.faults``, at one or two points each.

The command tries every flow with every fault, at more points.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conftest import Cluster
from tests.faults.disks import can_mount, own_server
from tests.faults.harness import Attempt, Harness, harness, try_all

pytestmark = pytest.mark.kill


@pytest.fixture(scope="module")
def made(cluster: Cluster) -> Iterator[Harness]:
    with harness(cluster) as made:
        yield made


def check(made: Harness, flow: str, faults: list[str], points: int) -> None:
    attempts: list[Attempt] = []
    try_all(made, [flow], faults, points, attempts.append)
    assert [attempt for attempt in attempts if attempt.problems] == []
    assert {attempt.fault for attempt in attempts if attempt.has_struck} == set(faults)


@pytest.mark.parametrize(
    ("flow", "faults"), [("pull", ["kill", "network"]), ("promo codes", ["database", "storm"])]
)
def test_a_disturbed_flow_ends_as_if_undisturbed(
    made: Harness, flow: str, faults: list[str]
) -> None:
    check(made, flow, faults, points=2)


def test_a_flow_that_found_a_disk_full_ends_as_if_undisturbed() -> None:
    if not can_mount():
        pytest.skip("only root can mount the disks to fill")
    with own_server() as server, harness(server.cluster, server) as made:
        check(made, "segments", ["server disk", "own disk"], points=2)
