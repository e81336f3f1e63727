"""A real browser and the real service. The sandbox and dbt fill the database."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from uuid import UUID

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, Playwright, sync_playwright
from werkzeug.serving import make_server

from service.core.config import Settings
from service.core.db import connect_as_owner, find_tenant
from tests.web import code_for, running_app

_BROWSERS = ("chromium", "chromium-browser", "google-chrome")
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]

# Widths and colour schemes in which pages are inspected.
LOOKS = [(width, scheme) for width in (400, 1440) for scheme in ("light", "dark")]


@dataclass(frozen=True)
class Site:
    """The service on loopback, and the tenant whose pages are tested."""

    url: str
    settings: Settings
    tenant_id: UUID

    def sign_in_link(self) -> str:
        """A new sign-in link."""
        return f"{self.url}/admin/sign-in#code={code_for(self.settings, self.tenant_id)}"


# Its event loop runs in this thread until it ends, and no other one can: so it ends before tests of
# other directories, some of which run a worker.
@pytest.fixture(scope="package")
def playwright() -> Iterator[Playwright]:
    with sync_playwright() as playwright:
        yield playwright


@pytest.fixture(scope="package")
def browser(playwright: Playwright) -> Iterator[Browser]:
    found = (shutil.which(name) for name in _BROWSERS)
    executable = os.environ.get("QUINTILE_CHROMIUM") or next(filter(None, found), None)
    if executable is None:
        pytest.skip("no Chromium here (install chromium, or set QUINTILE_CHROMIUM to its path)")
    browser = playwright.chromium.launch(executable_path=executable, args=ARGUMENTS)
    yield browser
    browser.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page of a new browser profile. An error on its console fails the test."""
    context = browser.new_context(
        locale="en-GB",
        # Far from the tenant's time zone, in which times must be shown.
        timezone_id="Asia/Tokyo",
        viewport={"width": 1440, "height": 900},
    )
    page = context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on(
        "console",
        # A failed request is logged to the console too. Tests check those themselves.
        lambda message: (
            errors.append(message.text)
            if message.type == "error" and "Failed to load resource" not in message.text
            else None
        ),
    )
    page.set_default_timeout(15_000)
    yield page
    context.close()
    assert errors == []


Serve = Callable[[Settings, str], AbstractContextManager[Site]]


@pytest.fixture(scope="session")
def serve() -> Serve:
    return _served


@contextmanager
def _served(settings: Settings, tenant: str) -> Iterator[Site]:
    """Serve the application on a free port of loopback."""
    with connect_as_owner(settings) as conn:
        tenant_id = find_tenant(conn, tenant)
    with running_app(settings) as app:
        server = make_server("127.0.0.1", 0, app, threaded=True)
        thread = threading.Thread(target=server.serve_forever, args=[0.02], daemon=True)
        thread.start()
        try:
            yield Site(f"http://127.0.0.1:{server.server_port}", settings, tenant_id)
        finally:
            server.shutdown()
            thread.join()
            server.server_close()


@pytest.fixture
def site(built_demo: Settings) -> Iterator[Site]:
    """The demo's larger tenant."""
    with connect_as_owner(built_demo) as conn:
        row = conn.execute(
            """
            select t.name
            from app.tenants as t
            inner join shopify.orders as o on t.tenant_id = o.tenant_id
            group by t.name
            order by count(*) desc
            limit 1
            """
        ).fetchone()
    assert row is not None
    with _served(built_demo, row["name"]) as site:
        yield site


@pytest.fixture
def signed_in(site: Site, page: Page) -> Page:
    """A page that is signed in and shows the home page."""
    page.goto(site.sign_in_link())
    page.wait_for_url("**/admin")
    return page


@pytest.fixture
def neighbour(site: Site, browser: Browser) -> Iterator[Page]:
    """A page of another browser, signed in to the other tenant."""
    with connect_as_owner(site.settings) as conn:
        row = conn.execute(
            "select tenant_id from app.tenants where tenant_id <> %s", [site.tenant_id]
        ).fetchone()
    assert row is not None
    with browser.new_context(locale="en-GB", viewport={"width": 1440, "height": 900}) as context:
        page = context.new_page()
        page.goto(replace(site, tenant_id=row["tenant_id"]).sign_in_link())
        page.wait_for_url("**/admin")
        yield page


Inspect = Callable[[Page], None]


@pytest.fixture(scope="session")
def inspect() -> Inspect:
    """Check a page in both widths and colour schemes: no axe violation, no horizontal scrolling."""
    axe = Axe()

    def look(page: Page) -> None:
        for width, scheme in LOOKS:
            page.set_viewport_size({"width": width, "height": 900})
            page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
            found = axe.run(page)
            assert found.violations_count == 0, f"{width} {scheme}: {found.generate_report()}"
            overflows = page.evaluate(
                "document.documentElement.scrollWidth > document.documentElement.clientWidth"
            )
            assert not overflows, f"{width} {scheme}: the page scrolls sideways"
        page.set_viewport_size({"width": 1440, "height": 900})

    return look
