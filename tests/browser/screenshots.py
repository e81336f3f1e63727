"""Pictures of every page of the demo: ``make screenshots``.

Each page at both widths and in both colour schemes, as
``build/screenshots/<page>-<width>-<scheme>.png``.
"""

from __future__ import annotations

import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

from tests.browser.chromium import find_chromium
from tests.browser.conftest import ARGUMENTS, LOOKS
from tests.demo_site import PAGES, DemoSite, running_demo

DIRECTORY = Path("build/screenshots")


def main() -> int:
    """Make the demo and write the pictures."""
    with running_demo() as site:
        write_screenshots(site)
    print(f"{len(PAGES) * len(LOOKS)} pictures are in {DIRECTORY}")
    return 0


def write_screenshots(site: DemoSite) -> None:
    """Write the pictures of a demo that is being served."""
    DIRECTORY.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=ARGUMENTS)
        page = browser.new_page(locale="en-GB")
        page.goto(site.sign_in_link())
        page.wait_for_url("**/admin")
        for name, path in PAGES.items():
            for width, scheme in LOOKS:
                page.set_viewport_size({"width": width, "height": 900})
                page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
                page.goto(f"{site.url}{path}")
                page.wait_for_load_state("networkidle")
                page.screenshot(path=DIRECTORY / f"{name}-{width}-{scheme}.png", full_page=True)
        browser.close()


if __name__ == "__main__":
    sys.exit(main())
