"""Static files of the admin UI: their cache, their compression, and what pages load ahead."""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterator

import pytest
from apiflask import APIFlask
from flask.testing import FlaskClient

from service.core.config import Settings
from service.ui import assets
from tests.web import running_app

YEAR = "public, max-age=31536000, immutable"


@pytest.fixture
def app(settings: Settings) -> Iterator[APIFlask]:
    with running_app(settings) as app:
        yield app


@pytest.fixture
def client(app: APIFlask) -> FlaskClient:
    return app.test_client()


def test_a_page_s_files_are_kept_for_a_year(client: FlaskClient) -> None:
    page = client.get("/admin/sign-in").text
    named = re.findall(r'(?:href|src)="(/admin/static/[^"]+)"', page)
    assert len(named) >= 4
    for url in named:
        answer = client.get(url)
        assert answer.status_code == 200, url
        assert answer.headers["Cache-Control"] == YEAR
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
    types = {url.rpartition(".")[2]: client.get(url).content_type for url in named}
    assert types["css"] == "text/css; charset=utf-8"
    assert types["js"] == "text/javascript; charset=utf-8"


def test_files_are_compressed_for_browsers_that_ask(client: FlaskClient) -> None:
    url = f"/admin/static/{assets.digest()}/app.css"
    plain = client.get(url)
    packed = client.get(url, headers={"Accept-Encoding": "gzip"})
    assert packed.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(packed.data) == plain.data
    assert len(packed.data) < len(plain.data) / 3
    assert "Accept-Encoding" in plain.headers["Vary"]
    assert "Content-Encoding" not in plain.headers


def test_a_file_of_another_release_is_not_kept(client: FlaskClient) -> None:
    answer = client.get("/admin/static/0123456789ab/app.css")
    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == "no-cache"


@pytest.mark.parametrize("name", ["no.css", "..%2Fblueprint.py", "../blueprint.py"])
def test_there_are_no_other_files(client: FlaskClient, name: str) -> None:
    assert client.get(f"/admin/static/{assets.digest()}/{name}").status_code == 404


def test_a_page_loads_what_its_scripts_import_ahead(client: FlaskClient) -> None:
    page = client.get("/admin/sign-in").text
    ahead = re.findall(r'rel="modulepreload" href="[^"]*/(\w+\.js)"', page)
    assert ahead == ["api.js", "dom.js"]
    # Also through others: dom.js is imported by regions.js.
    assert assets.imports_of("activity.js") == {
        *("api.js", "dom.js", "format.js", "forms.js", "regions.js")
    }


def test_every_import_of_a_module_is_known() -> None:
    """A way to write an import that the look-up does not know would load later, unnoticed."""
    for path in sorted(assets.DIRECTORY.glob("*.js")):
        imported = set(
            re.findall(r'from "\./([\w-]+\.js)"|import "\./([\w-]+\.js)"', path.read_text())
        )
        names = {one or other for one, other in imported}
        assert names <= assets.imports_of(path.name), path.name
