"""Where everything has to be there, as in CI, a skipped test is a failed run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from service.core.config import PROJECT_DIR

SKIPPED = """
import pytest

def test_that_passes():
    pass

def test_that_needs_a_program():
    pytest.skip("PgBouncer is not installed")
"""


@pytest.mark.parametrize(("required", "status"), [("1", 1), ("", 0)])
def test_a_skipped_test_fails_a_run_that_requires_all(
    tmp_path: Path, required: str, status: int
) -> None:
    file = tmp_path / "test_program.py"
    file.write_text(SKIPPED)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-n", "1", "--rootdir", tmp_path),
            *("-c", os.devnull, "-p", "tests.conftest", "-p", "no:cacheprovider", file),
        ],
        cwd=PROJECT_DIR,
        env={**os.environ, "QUINTILE_REQUIRE_ALL_TESTS": required},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == status, done.stdout
    assert "1 passed, 1 skipped" in done.stdout


def test_ci_requires_all_tests() -> None:
    script = (PROJECT_DIR / ".ci" / "run").read_text()
    assert script.index("export QUINTILE_REQUIRE_ALL_TESTS=1\n") < script.index("make test\n")
