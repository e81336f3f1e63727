"""The wheel that a checkout makes, installed where no checkout is."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import venv
from pathlib import Path


def build_wheel(source: Path, directory: Path) -> Path:
    """Build the source distribution and, from it, the wheel, with the tests' own environment."""
    _run("-m", "build", "--no-isolation", "--outdir", str(directory), str(source))
    (wheel,) = directory.glob("*.whl")
    return wheel


def install(wheel: Path, directory: Path) -> Path:
    """Install a wheel into a new environment; returns its Python.

    The libraries that Quintile needs are those of the tests' environment. Of that environment's own
    Quintile nothing is seen: Python reads .pth files only of the environment that it starts in.
    """
    venv.create(directory, with_pip=False, symlinks=True)
    python = directory / "bin" / "python"
    _run("-m", "pip", "--quiet", "--python", str(python), "install", "--no-deps", str(wheel))
    (packages,) = directory.glob("lib/python*/site-packages")
    (packages / "libraries.pth").write_text(sysconfig.get_path("purelib"), encoding="utf-8")
    return python


def _run(*arguments: str) -> None:
    done = subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
