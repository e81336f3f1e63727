"""Any input at the entrances: refused with a reason or taken, and never an unexpected error.

Routes, pages and the wire are in tests/integration/test_bad_input.py, and what the API's schema
allows in tests/integration/test_api_contract.py.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import jwt
import pytest
import stamina
from click.testing import CliRunner
from hypothesis import HealthCheck, example, given
from hypothesis import settings as profile
from hypothesis import strategies as st

from service.cli.main import main
from service.core.config import Settings, client_secrets, environment_name, load_settings
from service.core.db import Pool, connect_as_owner, open_pool, tenant_transaction
from service.core.errors import QuintileError
from service.core.http import TransientError, decode_json, load_json, parse_retry_after, read_json
from service.core.vault import key_ring
from service.klaviyo.client import KlaviyoClient, KlaviyoError
from service.klaviyo.rate_limits import LocalWindows
from service.notifications.address import check_url
from service.shopify.client import ShopifyClient
from service.shopify.csv_file import CsvFile, open_csv
from service.shopify.errors import ShopifyError
from service.shopify.jsonl import check_file_url
from service.shopify.loading import load_nodes
from service.shopify.orders_csv import import_orders
from service.shopify.parse import parse_customer, parse_member, parse_order, parse_segment, sort_out
from service.shopify.rate_limit import LocalBucket
from service.shopify.resources import CUSTOMERS, ORDERS, Resource
from service.shopify.tokens import FixedToken, parse_tokens
from service.tenants.platform_tokens import Issuer, _verify
from service.tenants.shop_domain import check_shop_domain
from service.tenants.tenants import add_tenant
from service.tenants.tokens import parse_credential
from service.webhooks.inbox import Delivery, receive
from service.webhooks.signature import sign
from service.webhooks.topics import TOPICS, read_notice
from tests.command import environment_of
from tests.conftest import Cluster, NullProgress
from tests.unit.test_shopify_parse import ORDER

PROFILE = profile(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
WITH_DATABASE = profile(PROFILE, max_examples=60)
CLIENT_SECRET = "a client secret of these tests"

# Also what no valid UTF-8 has: lone surrogates come as \\u escapes.
texts = st.text(st.characters(exclude_categories=()), max_size=30) | st.sampled_from(
    ["", "\0", "\ud800", "9" * 5000, "-1", "1e999", "NaN", "2026-02-30", "gid://shopify/Order/x"]
)
numbers = st.integers() | st.floats() | st.integers(2**63, 2**70)
values = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)
CUSTOMER: dict[str, Any] = {
    "id": "gid://shopify/Customer/77",
    "displayName": "Ada L.",
    "defaultEmailAddress": {"emailAddress": "ada@example.org", "marketingState": "SUBSCRIBED"},
    "tags": ["vip"],
    "createdAt": "2026-04-22T14:05:00Z",
    "updatedAt": "2026-04-22T14:05:00Z",
}


def paths_in(node: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where a document has values."""
    steps = node.items() if isinstance(node, dict) else enumerate(node)
    for step, inner in steps:
        yield (*at, step)
        if isinstance(inner, dict | list):
            yield from paths_in(inner, (*at, step))


@st.composite
def spoiled(draw: st.DrawFn, whole: dict[str, Any]) -> Any:
    """A document in which some values are others, or missing."""
    node = deepcopy(whole)
    for path in draw(st.lists(st.sampled_from(list(paths_in(whole))), min_size=1, max_size=3)):
        place = node
        try:
            for step in path[:-1]:
                place = place[step]
            if draw(st.booleans()):
                place[path[-1]] = draw(values)
            else:
                del place[path[-1]]
        except (LookupError, TypeError):
            continue
    return node


def is_storable(value: Any) -> bool:
    """Whether PostgreSQL can hold a JSON value."""
    if isinstance(value, float):
        return math.isfinite(value)
    text = json.dumps(value, ensure_ascii=False)
    return "\\u0000" not in text and not any(0xD800 <= ord(c) < 0xE000 for c in text)


@contextmanager
def refusal(*kinds: type[Exception]) -> Iterator[None]:
    """These errors may come, and say why; any other may not."""
    try:
        yield
    except kinds as error:
        if not str(error):
            raise


# -- JSON of other servers ------------------------------------------------------------------------


@PROFILE
@given(st.binary(max_size=60) | values.map(lambda value: json.dumps(value).encode()))
@example(b'{"a": NaN}')
@example(b"[1e999]")
@example(b"[" * 100_000)
@example(b'"\\ud800\\u0000"')
@example(b"9" * 5000)
def test_json_is_read_as_postgresql_can_hold_it_or_refused(body: bytes) -> None:
    with_body = httpx.Response(200, content=body)
    for read in (
        lambda: decode_json(with_body),
        lambda: read_json(body.decode("utf-8", "surrogateescape")),
        lambda: load_json(body.decode("utf-8", "replace")),
    ):
        try:
            value = read()
        except (TransientError, ValueError):
            continue
        if read.__code__.co_names[0] != "read_json" or body.isascii():
            assert is_storable(value)


@PROFILE
@given(texts | st.floats().map(str))
def test_any_retry_after_is_a_time_or_none(text: str) -> None:
    seconds = parse_retry_after(text)
    assert seconds is None or 0 < seconds <= 86_400


def answering(answer: Callable[[httpx.Request], httpx.Response]) -> httpx.Client:
    return httpx.Client(transport=httpx.MockTransport(answer))


statuses = st.sampled_from([200, 201, 204, 301, 400, 401, 403, 404, 413, 422, 429, 500, 503])


@PROFILE
@given(
    statuses,
    values
    | spoiled(
        {
            "data": {"shop": {"name": "x"}},
            "extensions": {
                "cost": {
                    "requestedQueryCost": 1,
                    "actualQueryCost": 1,
                    "throttleStatus": {
                        "maximumAvailable": 1000,
                        "currentlyAvailable": 900,
                        "restoreRate": 50,
                    },
                }
            },
        }
    )
    | spoiled(
        {
            "data": None,
            "errors": [
                {
                    "message": "x",
                    "path": ["orders", "nodes", 3],
                    "extensions": {"code": "THROTTLED"},
                }
            ],
        }
    ),
)
def test_any_answer_of_shopify_is_data_or_an_error(status: int, body: Any) -> None:
    def answer(_: httpx.Request) -> httpx.Response:
        return httpx.Response(status, text=json.dumps(body))

    with answering(answer) as http, stamina.set_testing(True, attempts=1):
        client = ShopifyClient(
            http,
            "https://a.myshopify.com/x",
            tokens=FixedToken("t"),
            bucket=LocalBucket(),
            attempts=1,
        )
        with refusal(ShopifyError):
            assert isinstance(client.run("shop"), dict)


RESOURCE = {"type": "profile", "id": "1", "attributes": {"email": "a@example.com"}, "links": {}}


@PROFILE
@given(
    statuses,
    values
    | spoiled({"data": [RESOURCE], "links": {"next": "https://k/api/x?page=2"}})
    | spoiled(
        {"errors": [{"code": "x", "detail": "y", "source": {"pointer": "/data"}, "meta": {}}]}
    ),
)
@example(200, {"data": [{}]})
def test_any_answer_of_klaviyo_is_resources_or_an_error(status: int, body: Any) -> None:
    def answer(_: httpx.Request) -> httpx.Response:
        return httpx.Response(status, text=json.dumps(body))

    with answering(answer) as http, stamina.set_testing(True, attempts=1):
        client = KlaviyoClient(http, "https://k", windows=LocalWindows(), attempts=1)
        with refusal(KlaviyoError):
            for page in client.pages("/api/x", "/api/x"):
                assert isinstance(page, list)


# -- records --------------------------------------------------------------------------------------


@PROFILE
@given(st.lists(values | spoiled(ORDER) | spoiled(CUSTOMER), max_size=5))
def test_every_record_is_a_row_or_a_rejection_with_a_reason(nodes: list[Any]) -> None:
    for parse in (parse_order, parse_customer, parse_member, parse_segment):
        rows, rejections = sort_out(nodes, parse)
        assert len(rows) + len(rejections) == len(nodes)
        assert all(each.reason for each in rejections)


@PROFILE
@given(
    st.sampled_from(sorted(TOPICS)),
    values
    | spoiled(
        {
            "id": 1,
            "updated_at": "2026-07-01",
            "customer": {"id": 1, "email": "a", "phone": "1"},
            "orders_to_redact": [1],
            "customer_id": 1,
            "segment_id": 1,
        }
    ),
)
def test_any_payload_of_a_webhook_is_understood_or_refused(topic: str, payload: Any) -> None:
    with refusal(ValueError):
        assert read_notice(topic, payload).kind


# -- texts of people and machines -----------------------------------------------------------------


REFUSING: dict[str, Callable[[str], object]] = {
    "tokens": parse_tokens,
    "shop": check_shop_domain,
    "url": lambda text: check_url(text, may_be_private=False),
    "credential": parse_credential,
    "file": lambda text: check_file_url(text, "http://127.0.0.1:1/"),
    "keys": lambda text: key_ring(Settings(encryption_keys=text, secret_key="x")),
    "client secret": lambda text: client_secrets(Settings(shopify_client_secret=text), "a"),
}
odd_texts = (
    texts
    | values.map(json.dumps)
    | st.from_regex(r"https?://[^/]{0,70}(:\d{0,7})?/.{0,9}", fullmatch=True)
    | st.from_regex(r"\w{0,3}:[A-Za-z0-9+/=]{40,46}(,.{0,9})?", fullmatch=True)
)


@pytest.mark.parametrize("entrance", REFUSING)
@PROFILE
@given(text=odd_texts)
@example(text="https://[::1")
@example(text="https://x:99999999/")
@example(text="{" * 100_000)
def test_any_text_is_taken_or_refused(entrance: str, text: str) -> None:
    with refusal(QuintileError):
        REFUSING[entrance](text)


@PROFILE
@given(
    st.dictionaries(st.sampled_from([item.name for item in fields(Settings)]), texts, max_size=5)
)
def test_any_environment_is_settings_or_refused(environ: dict[str, str]) -> None:
    given_ = {environment_name(name): text for name, text in environ.items()}
    with refusal(QuintileError):
        load_settings(given_)


def forged(claims: dict[str, Any]) -> str:
    """A token whose signature is right, whatever it says."""
    return jwt.api_jws.encode(json.dumps(claims).encode(), "s" * 32, algorithm="HS256")


ISSUER = Issuer("https://p", "q", "tenant", "read", "s" * 32, None)


@PROFILE
@given(
    texts
    | st.from_regex(r"[\w-]{0,40}\.[\w-]{0,40}\.[\w-]{0,40}", fullmatch=True)
    | st.dictionaries(
        st.sampled_from(["iss", "aud", "exp", "nbf", "iat", "sub", "tenant"]), values
    ).map(forged)
)
def test_any_platform_token_is_claims_or_refused(token: str) -> None:
    with refusal(jwt.PyJWTError, ValueError):
        assert isinstance(_verify(ISSUER, token), dict)


@PROFILE
@given(st.binary(max_size=300) | texts.map(lambda text: text.encode("utf-8", "replace")))
@example(b"Name,Email\n" + b'"' * 300)
@example(b"Name\0,Email\n1,\xff\n")
def test_any_csv_file_is_records_or_refused(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.csv"
    path.write_bytes(content)
    # The import says of bytes that are not text where they are.
    with refusal(QuintileError, UnicodeDecodeError), open_csv(path) as file:
        read = CsvFile(file, lambda header: "email" in header)
        for number, cells, fault in read.records(()):
            assert number > 0
            assert cells or fault


WORDS = ["keys", "new", "tenants", "add", "list", "sync", "build", "--tenant", "--json", "--days"]


@PROFILE
@given(st.lists(st.sampled_from(WORDS) | texts, max_size=5))
def test_any_command_line_ends_without_a_traceback(
    tmp_path_factory: pytest.TempPathFactory, arguments: list[str]
) -> None:
    # What the operating system cannot pass to a process cannot arrive.
    arguments = [each.replace("\0", "").encode("utf-8", "replace").decode() for each in arguments]
    nowhere = Settings(
        database_url="postgresql://x@127.0.0.1:1/none",
        home=str(tmp_path_factory.getbasetemp() / "home"),
    )
    done = CliRunner().invoke(main, arguments, env=environment_of(nowhere), prog_name="quintile")
    assert done.exception is None or isinstance(done.exception, SystemExit), arguments
    assert "Traceback" not in done.output


# -- into the database ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def here(cluster: Cluster, migrated_template: str) -> Iterator[Settings]:
    name = cluster.create(migrated_template)
    yield cluster.settings(name, shopify_client_secret=CLIENT_SECRET)
    cluster.drop(name)


@pytest.fixture(scope="module")
def tenant(here: Settings) -> UUID:
    with connect_as_owner(here) as conn:
        return add_tenant(conn, "north", "north.myshopify.com")


@pytest.fixture(scope="module")
def pool(here: Settings) -> Iterator[Pool]:
    with open_pool(here) as pool:
        yield pool


@pytest.mark.parametrize(("resource", "whole"), [(ORDERS, ORDER), (CUSTOMERS, CUSTOMER)])
@WITH_DATABASE
@given(data=st.data())
def test_every_record_of_a_store_is_loaded_or_quarantined(
    pool: Pool, tenant: UUID, resource: Resource, whole: dict[str, Any], data: st.DataObject
) -> None:
    """One bad record stops no sync."""
    # As they come: no answer holds what PostgreSQL cannot.
    nodes = storable_nodes(data.draw(st.lists(spoiled(whole) | values, max_size=4)))
    nodes = [
        {**node, "id": f"gid://shopify/X/{n}"} if isinstance(node, dict) else node
        for n, node in enumerate(nodes)
    ]
    with tenant_transaction(pool, tenant) as conn:
        loaded = load_nodes(
            conn,
            tenant,
            resource,
            [*nodes, {**whole, "id": "gid://shopify/X/99"}],
            datetime(2026, 7, 1, tzinfo=UTC),
            withheld=(),
            missing={},
            unserved=(),
        )
        assert loaded.read + loaded.rejected == len(nodes) + 1


def storable_nodes(nodes: list[Any]) -> list[Any]:
    """The records that an answer can hold."""
    found = []
    for node in nodes:
        try:
            found.append(load_json(json.dumps(node)))
        except ValueError:
            continue
    return found


@WITH_DATABASE
@given(
    st.sampled_from(sorted(TOPICS)),
    st.binary(max_size=80)
    | values.map(lambda value: json.dumps(value).encode())
    | spoiled(
        {"id": 1, "updated_at": "2026-07-01T10:00:00Z", "customer_id": 1, "segment_id": 1}
    ).map(lambda value: json.dumps(value).encode()),
    texts,
)
@example("orders/updated", b'{"id": NaN}', "w")
@example("orders/updated", b'{"id": 1e999}', "w")
@example("orders/updated", b'{"id": "\\u0000"}', "\0")
@example("orders/updated", b'{"id": 1, "updated_at": "0001-01-01T00:00:00+14:00"}', "w")
@example("orders/updated", b'{"id": ' + b"9" * 4000 + b"}", "w")
def test_any_signed_webhook_is_stored_or_quarantined(
    here: Settings, pool: Pool, tenant: UUID, topic: str, body: bytes, webhook_id: str
) -> None:
    headers = {
        "X-Shopify-Topic": topic,
        "X-Shopify-Shop-Domain": "north.myshopify.com",
        "X-Shopify-Webhook-Id": webhook_id,
        "X-Shopify-Triggered-At": datetime.now(UTC).isoformat(),
        "X-Shopify-Hmac-Sha256": sign(CLIENT_SECRET, body).decode(),
    }
    receive(here, pool, Delivery.of(headers, body))


HEADER = "order_id,processed_at,total,currency,customer_email\n"


@WITH_DATABASE
@given(st.lists(st.lists(texts, min_size=3, max_size=6), max_size=4), st.binary(max_size=40))
def test_every_line_of_an_imported_file_is_an_order_or_a_rejection(
    pool: Pool,
    tenant: UUID,
    tmp_path_factory: pytest.TempPathFactory,
    lines: list[list[str]],
    end: bytes,
) -> None:
    path = Path(tmp_path_factory.getbasetemp() / "orders.csv")
    rows = "".join(",".join(cells) + "\n" for cells in lines)
    path.write_bytes((HEADER + rows).encode("utf-8", "surrogatepass") + end)
    with refusal(QuintileError), open_csv(path) as file:
        assert import_orders(pool, tenant, file, NullProgress()).loaded >= 0
