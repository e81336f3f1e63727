"""Redirects after sign-in lead only to paths of the admin UI."""

from __future__ import annotations

import pytest
from flask import Flask

from service.ui import blueprint
from service.ui.sign_in import local_path

START = "/admin"


def redirect_path(text: str) -> str:
    app = Flask(__name__)
    app.register_blueprint(blueprint)
    with app.test_request_context():
        return local_path(text)


@pytest.mark.parametrize(
    "path",
    [
        "/admin",
        "/admin/samples",
        "/admin/samples?type=ugc&cursor=W10%3D",
        "/admin/x/y_z-1",
        "/admin/segments/rfm:champions?r_score=5",
        "/admin/customers/email:a.b%2Bc@shop.example",
    ],
)
def test_a_path_of_the_admin_ui_is_kept(path: str) -> None:
    assert redirect_path(path) == path


@pytest.mark.parametrize(
    "text",
    [
        "",
        "https://evil.example/admin",
        "//evil.example/admin",
        r"/\evil.example",
        r"/admin\..\evil",
        "/admin/../api",
        "/administrator",
        "/api/admin/me",
        "javascript:alert(1)",
        "/admin/samples\r\nSet-Cookie: a=b",
        "/admin/samples?next=\\evil",
        "/admin/sign-in?next=/admin/sign-in",
        "http://[",
    ],
)
def test_anything_else_becomes_the_start_page(text: str) -> None:
    assert redirect_path(text) == START
