"""What a reader's browser takes for the pages of the admin UI: ``make bench PART=pages``.

The demo, served as its users have it, in Chromium without a cache. Each page is opened five times
at 1440 px, and once at 400 px for the layout shift. ``KB`` are the bytes that come over the
network; ``first paint`` is the first contentful one; ``filled`` is when no list of the page is
loading any more; ``shift`` is the larger cumulative layout shift of the two widths.
"""

from __future__ import annotations

import statistics
from typing import Any

from playwright.sync_api import Browser, sync_playwright

from tests.browser.chromium import find_chromium
from tests.browser.conftest import ARGUMENTS
from tests.demo_site import PAGES, DemoSite, running_demo

TIMES = 5
NARROW, WIDE = 400, 1440

# Runs before the page's own scripts.
_WATCH = """
    window.shift = 0;
    new PerformanceObserver((list) => {
      for (const entry of list.getEntries()) if (!entry.hadRecentInput) window.shift += entry.value;
    }).observe({ type: "layout-shift", buffered: true });
    const look = () => {
      const isLoading = document.querySelector("main [aria-busy=true]");
      if (document.querySelector("main h1") && !isLoading) window.filled ??= performance.now();
      else window.filled = undefined;
    };
    new MutationObserver(look).observe(document, {
      subtree: true, childList: true, attributes: true, attributeFilter: ["aria-busy"],
    });
"""
_READ = """
    () => ({
      bytes: [...performance.getEntriesByType("navigation"),
              ...performance.getEntriesByType("resource")]
        .reduce((total, entry) => total + entry.transferSize, 0),
      paint: performance.getEntriesByName("first-contentful-paint")[0].startTime,
      filled: window.filled,
      shift: window.shift,
    })
"""


def bench_pages(_size: int) -> None:
    """Print bytes, paints and layout shift of each page."""
    with running_demo() as site:
        measure_pages(site)


def measure_pages(site: DemoSite) -> None:
    """Print the same of a demo that is being served."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=ARGUMENTS)
        context = browser.new_context()
        page = context.new_page()
        page.goto(site.sign_in_link())
        page.wait_for_url("**/admin")
        signed_in = context.storage_state()
        print(f"{'page':<24}{'KB':>6}{'first paint ms':>16}{'filled ms':>11}{'shift':>8}")
        for name, path in PAGES.items():
            url = f"{site.url}{path}"
            _open(browser, signed_in, url, WIDE)
            wide = [_open(browser, signed_in, url, WIDE) for _ in range(TIMES)]
            narrow = _open(browser, signed_in, url, NARROW)
            median = {key: statistics.median(row[key] for row in wide) for key in wide[0]}
            shift = max(narrow["shift"], *(row["shift"] for row in wide))
            print(
                f"{name:<24}{median['bytes'] / 1000:>6.0f}{median['paint']:>16.0f}"
                f"{median['filled']:>11.0f}{shift:>8.3f}"
            )
        browser.close()


def _open(browser: Browser, signed_in: Any, url: str, width: int) -> dict[str, float]:
    """What opening a page took, in a context of its own and so without a cache."""
    context = browser.new_context(
        storage_state=signed_in, viewport={"width": width, "height": 900}, locale="en-GB"
    )
    page = context.new_page()
    page.add_init_script(_WATCH)
    page.goto(url)
    page.wait_for_load_state("networkidle")
    measured: dict[str, float] = page.evaluate(_READ)
    context.close()
    return measured
