"""Make sure there is a browser to test with: ``python -m tests.browser.ensure_chromium``.

In this order: one that is installed, Debian's package when we may install it, Playwright's own
download. Fails in a sentence when none of these works.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.browser.chromium import find_chromium


def main() -> int:
    """Find or install a browser; 0 when there is one."""
    if find_chromium() or _playwright_has_one():
        return 0
    print("no Chromium found; installing one for the browser tests", file=sys.stderr)
    if _install_package() and find_chromium():
        return 0
    playwright = [sys.executable, "-m", "playwright", "install", "chromium"]
    if subprocess.run(playwright, check=False).returncode == 0:
        return 0
    print(
        "The browser tests need Chromium and it could not be installed. Install it (on Debian and "
        "Ubuntu: apt-get install chromium) or name one: QUINTILE_CHROMIUM=/path/to/chromium",
        file=sys.stderr,
    )
    return 1


def _install_package() -> bool:
    apt = shutil.which("apt-get")
    if apt is None or os.geteuid() != 0:
        return False
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for arguments in (["update", "-q"], ["install", "-q", "-y", "chromium"]):
        command = [apt, *arguments]
        done = subprocess.run(
            command,
            env=environment,
            check=False,
            stdout=subprocess.DEVNULL,
            stdin=subprocess.DEVNULL,
        )
        if done.returncode != 0:
            return False
    return True


def _playwright_has_one() -> bool:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        return Path(playwright.chromium.executable_path).exists()


if __name__ == "__main__":
    sys.exit(main())
