"""``python -m tests.faults``: disturb every main flow at many points, and compare what it leaves.

``--flow NAME`` and ``--fault NAME`` take only these, and can be given several times. ``--points N``
is how many points each flow is disturbed at by each fault. Exit status 1 says that a flow ended in
another way than undisturbed, that a fault never struck a flow, or, under
QUINTILE_REQUIRE_ALL_TESTS=1, that a fault cannot happen on this machine.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import defaultdict

from service.builds import run
from service.core.config import Settings
from service.core.logs import configure_logging
from tests import warm_dbt
from tests.faults.disks import own_server
from tests.faults.flows import FLOWS
from tests.faults.harness import FAULTS, Attempt, Harness, harness, try_all

_WIDTH = 12


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--flow", action="append", choices=FLOWS, help="Only this one.")
    parser.add_argument("--fault", action="append", choices=FAULTS, help="Only this one.")
    parser.add_argument("--points", type=int, default=4, help="For each flow and fault.")
    given = parser.parse_args()
    flows, faults = given.flow or list(FLOWS), given.fault or list(FAULTS)
    configure_logging(Settings(log_level="WARNING"))
    run.default_dbt = warm_dbt.server
    attempts: list[Attempt] = []
    began = time.monotonic()

    def report(attempt: Attempt) -> None:
        attempts.append(attempt)
        ending = "; ".join(attempt.problems) or ("ok" if attempt.has_struck else "not struck")
        seconds = time.monotonic() - began
        print(
            f"{seconds:6.0f} s  {attempt.flow}, {attempt.fault}, {attempt.where}: {ending}",
            file=sys.stderr,
            flush=True,
        )

    with own_server() as server, harness(server.cluster, server) as made:
        try_all(made, flows, faults, given.points, report)
        return _summarize(made, flows, faults, attempts)


def _summarize(made: Harness, flows: list[str], faults: list[str], attempts: list[Attempt]) -> int:
    """Print the table; the exit status."""
    cells: dict[tuple[str, str], list[Attempt]] = defaultdict(list)
    for attempt in attempts:
        cells[attempt.flow, attempt.fault].append(attempt)
    print(f"{'points tried/struck/as undisturbed':36}" + "".join(f"{f:>{_WIDTH}}" for f in faults))
    skipped = 0
    is_good = True
    for flow in flows:
        line = f"{flow:36}"
        for fault in faults:
            if not made.applies(FLOWS[flow], fault):
                line += f"{'-':>{_WIDTH}}"
                continue
            if made.missing(fault):
                skipped += 1
                line += f"{'skipped':>{_WIDTH}}"
                continue
            tried = cells[flow, fault]
            struck = sum(attempt.has_struck for attempt in tried)
            same = sum(not attempt.problems for attempt in tried)
            is_good &= same == len(tried) and struck > 0
            line += f"{f'{len(tried)}/{struck}/{same}':>{_WIDTH}}"
        print(line)
    struck = sum(attempt.has_struck for attempt in attempts)
    same = sum(not attempt.problems for attempt in attempts)
    print(
        f"{len(attempts)} points tried, {struck} struck,"
        f" {same} ended as the undisturbed run; {skipped} pairs skipped"
    )
    for fault in faults:
        if (why := made.missing(fault)) is not None:
            print(f"{fault}: {why}")
    if skipped and os.environ.get("QUINTILE_REQUIRE_ALL_TESTS"):
        return 1
    return 0 if is_good else 1


if __name__ == "__main__":
    sys.exit(main())
