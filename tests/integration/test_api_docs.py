"""The examples in docs/api.md work, and their answers have the documented fields."""

from __future__ import annotations

import re
import shlex
from uuid import UUID

from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from service.core.config import Settings
from service.core.db import connect, one, transform_url
from tests.conftest import PROJECT_DIR
from tests.web import client_of, running_app

DOCS = (PROJECT_DIR / "docs" / "api.md").read_text(encoding="utf-8")
SITE = "http://127.0.0.1:8000"
BLOCK = re.compile(r"```console\n(.*?)```", re.DOTALL)
EXAMPLE = re.compile(r"^\$ (curl (?:.*\\\n)*.*)\n((?:[^$].*\n)*)", re.MULTILINE)
FIELD = re.compile(r'"(\w+)":')
# Values that are the same in every store.
CONSTANT = re.compile(r'"(?:state|kind|reason|in_words|scope|source|change)":(?:"[^"]*"|null)')


def examples() -> list[tuple[str, str]]:
    """Each curl command with its abbreviated answer."""
    return [found for block in BLOCK.findall(DOCS) for found in EXAMPLE.findall(block)]


def send(client: FlaskClient, command: str) -> TestResponse:
    """Send what a curl command would send."""
    method, headers, body, url = None, {}, None, ""
    words = iter(shlex.split(command.replace("\\\n", " "))[1:])
    for word in words:
        match word:
            case "-s":
                pass
            case "-X":
                method = next(words)
            case "-H":
                name, _, value = next(words).partition(": ")
                headers[name] = value
            case "-d":
                body = next(words)
            case _:
                assert word.startswith(SITE), word
                url = word.removeprefix(SITE)
    method = method or ("GET" if body is None else "POST")
    headers.pop("Authorization")
    return client.open(url, method=method, headers=headers, data=body)


def test_every_example_of_the_api_works(built_demo: Settings) -> None:
    with connect(transform_url(built_demo)) as conn:
        tenant: UUID = one(
            conn.execute(
                "select tenant_id from app.tenants where name = 'northlight-goods'"
            ).fetchone()
        )["tenant_id"]
        customer = one(
            conn.execute(
                "select customer_id from marts.customer_facts"
                " where tenant_id = %s and segment = 'champions' order by customer_id limit 1",
                [tenant],
            ).fetchone()
        )["customer_id"]
    with running_app(built_demo) as app:
        client = client_of(app, built_demo, tenant)
        for command, answer in examples():
            given = command.replace("$CUSTOMER", customer).replace("$(uuidgen)", "a-new-key")
            response = send(client, given)
            assert response.status_code < 300, f"{command}\n{response.text}"
            fields = set(FIELD.findall(answer))
            assert fields <= set(FIELD.findall(response.text)), command
            assert set(CONSTANT.findall(answer)) <= set(CONSTANT.findall(response.text)), command


def test_every_section_with_routes_has_an_example() -> None:
    without = {"Public endpoints", "Errors", "Conventions", "Pages of the admin UI"}
    for section in re.split(r"^## ", DOCS, flags=re.MULTILINE)[1:]:
        title = section.partition("\n")[0]
        assert title in without or EXAMPLE.search(section), title
