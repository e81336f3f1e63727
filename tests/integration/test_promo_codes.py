"""Promo codes: asked for over the API, applied to Shopify by a run, updated by difference."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
import stamina
from apiflask import APIFlask
from flask.testing import FlaskClient
from psycopg.sql import SQL, Identifier

from sandbox import Fault, Sandbox
from sandbox.data import generate_store
from sandbox.data.specs import KESSEL
from sandbox.shopify import Store
from sandbox.shopify.discounts import Discount
from sandbox.shopify.store import ALL_SCOPES
from service.builds.followups import follow_plain_builds
from service.core.config import Settings
from service.core.db import (
    Pool,
    admin_url,
    connect,
    connect_as_owner,
    tenant_transaction,
    transform_url,
)
from service.core.errors import QuintileError
from service.doctor.promo_codes import check_promo_codes
from service.migrate import migrate
from service.privacy.requests import add_request, process_now
from service.promo_codes.apply import PromoCodesStoppedError
from service.promo_codes.codes import ask_for_updates
from service.queue.enqueue import enqueue
from service.queue.runs import Trigger
from service.shopify.connection import connect_shopify
from service.shopify.errors import ShopifyUnavailableError
from service.tenants.tenants import add_tenant
from service.worker.housekeeping import housekeep
from service.worker.run_once import run_once
from tests.promo_codes import (
    PATH,
    add_customers,
    apply_codes,
    body,
    move_customers,
    only_discount,
    summarize,
    targets_of,
)
from tests.web import BUILT, CALCULATED_AT, client_of, running_app
from tests.worker import wait_until

RUNS = "/api/admin/runs?kind=promo_codes"
TARGETS = "/api/admin/segments/targets"
CHANGES = f"{PATH}/VIP20/targets/changes"


@pytest.fixture(scope="module")
def data() -> Any:
    return generate_store(KESSEL, 1, datetime(2026, 7, 1, tzinfo=UTC))


@pytest.fixture
def store(data: Any) -> Store:
    return Store(data)


@pytest.fixture
def here(built_settings: Settings, shop: Sandbox) -> Settings:
    return replace(built_settings, shopify_url=shop.shopify_url)


@pytest.fixture
def app(here: Settings) -> Iterator[APIFlask]:
    with running_app(here) as app:
        yield app


@pytest.fixture
def pool(app: APIFlask) -> Pool:
    pool: Pool = app.extensions["quintile"].pool
    return pool


@pytest.fixture
def tenant(here: Settings, pool: Pool, store: Store) -> UUID:
    with connect_as_owner(here) as conn:
        tenant_id = add_tenant(conn, "kessel", store.data.domain)
    connect_shopify(here, pool, tenant_id, store.data.domain, store.data.token)
    return tenant_id


@pytest.fixture
def client(app: APIFlask, here: Settings, tenant: UUID) -> FlaskClient:
    return client_of(app, here, tenant)


@pytest.fixture
def buyers(store: Store) -> list[str]:
    return [str(number) for number in sorted(store.customers)]


class Work:
    """Requests, and the runs that apply them."""

    def __init__(self, here: Settings, pool: Pool, tenant: UUID, client: FlaskClient) -> None:
        self.here, self.pool, self.tenant, self.client = here, pool, tenant, client

    def post(self, path: str = "", expect: int = 202, **json: Any) -> dict[str, Any]:
        answer = self.client.post(f"{PATH}{path}", json=json or None)
        assert answer.status_code == expect, answer.text
        found: dict[str, Any] = answer.get_json()
        return found

    def patch(self, code: str = "VIP20", expect: int = 202, **json: Any) -> dict[str, Any]:
        answer = self.client.patch(f"{PATH}/{code}", json=json)
        assert answer.status_code == expect, answer.text
        found: dict[str, Any] = answer.get_json()
        return found

    def check(self, customer: str, code: str = "VIP20") -> str:
        answer = self.client.get(f"{PATH}/{code}/check", query_string={"customer": customer})
        assert answer.status_code == 200, answer.text
        found = answer.get_json()
        assert found["is_eligible"] == (found["reason"] == "eligible")
        reason: str = found["reason"]
        return reason

    def answer(self, customer: str) -> dict[str, Any]:
        """The whole answer of a check."""
        found: dict[str, Any] = self.client.get(
            f"{PATH}/VIP20/check?customer={customer}"
        ).get_json()
        return found

    def list_changes(self, **filters: str) -> list[dict[str, Any]]:
        """Who was added and removed, newest first."""
        answer = self.client.get(CHANGES, query_string=filters | {"limit": "200"})
        assert answer.status_code == 200, answer.text
        rows: list[dict[str, Any]] = answer.get_json()["data"]
        return rows

    def changes(self, **filters: str) -> list[tuple[str, str]]:
        """Change and id of customer or segment, oldest first."""
        return [(row["change"], row["id"]) for row in reversed(self.list_changes(**filters))]

    def history(self) -> list[tuple[str, int, int, int]]:
        """Action, added, removed and targets afterwards, oldest first."""
        rows = self.client.get(f"{PATH}/VIP20/history").get_json()["data"]
        names = ("action", "added", "removed", "targets")
        return [tuple(row[name] for name in names) for row in reversed(rows)]

    def execute(self, statement: str, **parameters: Any) -> None:
        with connect_as_owner(self.here) as conn:
            conn.execute(statement, {"tenant_id": self.tenant, **parameters})

    def get(self, code: str = "VIP20") -> dict[str, Any]:
        answer = self.client.get(f"{PATH}/{code}")
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.get_json()
        return found

    def apply(self) -> dict[str, Any]:
        apply_codes(self.here, self.pool, self.tenant)
        return self.get()

    def build(self) -> dict[str, Any]:
        """What follows a build."""
        with tenant_transaction(self.pool, self.tenant) as conn:
            ask_for_updates(conn, self.tenant)
        return self.apply()


@pytest.fixture
def work(here: Settings, pool: Pool, tenant: UUID, client: FlaskClient) -> Work:
    return Work(here, pool, tenant, client)


def requests(shop: Sandbox) -> int:
    return len(shop.shopify_requests())


def test_a_code_is_created_as_described_and_answers_where_it_is(
    client: FlaskClient, work: Work, store: Store, buyers: list[str]
) -> None:
    add_customers(work.here, work.tenant, {"champions": buyers[:3], "loyal": buyers[3:5]})
    answer = client.post(
        PATH,
        json={
            "code": "vip-5",
            "title": "Our best",
            "amount": "7.50",
            "starts_at": "2026-06-01T00:00:00+02:00",
            "ends_at": "2099-01-01T00:00:00Z",
            "usage_limit": 10,
            "once_per_customer": True,
            "segments": ["rfm:champions", "rfm:loyal", "rfm:loyal"],
        },
    )
    assert answer.status_code == 202
    assert answer.headers["Location"] == f"{PATH}/vip-5"
    made = answer.get_json()
    assert (made["state"], made["discount_id"], made["targets"]["planned"]) == (
        *("pending", None),
        None,
    )
    assert made["is_queued"]
    assert client.get(RUNS).get_json()["data"][0]["state"] == "queued"
    apply_codes(work.here, work.pool, work.tenant)
    # Its case does not matter.
    found = work.get("VIP-5")
    clocks = dict.fromkeys(("created_at", "updated_at", "applied_at"))
    discount = only_discount(store)
    assert found | {
        "targets": None,
        "created_at": None,
        "updated_at": None,
        "applied_at": None,
    } == {
        "code": "vip-5",
        "title": "Our best",
        "state": "active",
        "is_queued": False,
        "problem": None,
        "percentage": None,
        "amount": "7.50",
        "currency": "EUR",
        "starts_at": "2026-05-31T22:00:00Z",
        "ends_at": "2099-01-01T00:00:00Z",
        "usage_limit": 10,
        "once_per_customer": True,
        "segments": ["rfm:champions", "rfm:loyal"],
        "excluded_segments": [],
        "targets": None,
        "discount_id": f"gid://shopify/DiscountCodeNode/{discount.number}",
        **clocks,
    }
    assert (discount.code, discount.title, discount.amount) == ("vip-5", "Our best", Decimal("7.5"))
    assert (discount.usage_limit, discount.is_once_per_customer) == (10, True)
    assert targets_of(discount) == set(buyers[:5])
    assert client.get(RUNS).get_json()["data"][0]["state"] == "succeeded"


def test_customers_are_sent_250_per_call_and_then_by_difference(
    work: Work, shop: Sandbox, store: Store, buyers: list[str]
) -> None:
    add_customers(work.here, work.tenant, {"champions": buyers[:601], "loyal": buyers[601:604]})
    work.post(**body())
    before = requests(shop)
    work.apply()
    # A look-up, the creation and two updates.
    assert requests(shop) - before == 4
    assert targets_of(only_discount(store)) == set(buyers[:601])
    move_customers(work.here, work.tenant, buyers[:2], "loyal")
    move_customers(work.here, work.tenant, buyers[601:602], "champions")
    before = requests(shop)
    found = work.build()
    # A look-up, the removal and the addition.
    assert requests(shop) - before == 3
    assert targets_of(only_discount(store)) == set(buyers[2:602])
    assert found["targets"] | {"as_of": None} == {
        "kind": "customers",
        "planned": 600,
        "in_shopify": 600,
        "to_add": 0,
        "to_remove": 0,
        "unreachable": 0,
        "refused": 0,
        "as_of": None,
    }
    assert work.history() == [
        ("created", 250, 0, 250),
        ("targets", 351, 0, 601),
        ("targets", 1, 2, 600),
    ]
    before = requests(shop)
    work.build()
    assert requests(shop) - before == 1


def test_a_code_for_nobody_is_never_for_everybody(
    work: Work, store: Store, buyers: list[str]
) -> None:
    """The sandbox takes a discount that has lost its last customer for one for everybody."""
    add_customers(work.here, work.tenant, {"loyal": buyers[:3]})
    work.post(**body())
    found = work.apply()
    assert (found["state"], found["discount_id"], store.discounts) == ("waiting", None, {})
    move_customers(work.here, work.tenant, buyers[:1], "champions")
    assert work.build()["state"] == "active"
    # The last one leaves: the code ends and keeps them, and nobody can use it.
    move_customers(work.here, work.tenant, buyers[:1], "loyal")
    found = work.build()
    assert (found["state"], found["targets"]["to_remove"]) == ("waiting", 1)
    assert targets_of(only_discount(store)) == {buyers[0]}
    ended_at = only_discount(store).ends_at
    assert ended_at is not None
    assert ended_at <= store.now
    assert work.check(buyers[0]) == "code_waiting"
    # Nothing more is done while nobody may use it.
    assert work.build()["state"] == "waiting"
    # Others come: they are added, the former one is removed, and only then it works again.
    move_customers(work.here, work.tenant, buyers[1:3], "champions")
    assert work.build()["state"] == "active"
    assert targets_of(only_discount(store)) == set(buyers[1:3])
    assert only_discount(store).ends_at is None
    assert [row[0] for row in work.history()] == [
        *("created", "ended", "targets", "resumed"),
    ]


def test_shopify_segments_stay_segments_unless_something_is_excluded(
    work: Work, store: Store, buyers: list[str]
) -> None:
    first, second = (str(number) for number in sorted(store.segments)[:2])
    add_customers(work.here, work.tenant, {"champions": buyers[:2], "loyal": buyers[2:4]})
    add_segments(work, {first: buyers[:4], second: buyers[4:6]})
    work.post(**body(segments=[f"shopify:{first}", f"shopify:{second}"]))
    found = work.apply()
    assert (found["targets"]["kind"], found["targets"]["in_shopify"]) == ("segments", 2)
    assert only_discount(store).targets.keys() == {
        ("Segment", int(first)),
        ("Segment", int(second)),
    }
    assert work.check(buyers[4]) == "eligible"
    # Exclusions need customers, who replace the segments.
    work.patch(excluded_segments=["rfm:champions"])
    found = work.apply()
    assert found["targets"]["kind"] == "customers"
    assert only_discount(store).targets.keys() == {("Customer", int(n)) for n in buyers[2:6]}
    assert (work.check(buyers[0]), work.check(buyers[2])) == ("excluded", "eligible")
    # And back.
    work.patch(excluded_segments=[], segments=[f"shopify:{second}"])
    work.apply()
    assert only_discount(store).targets.keys() == {("Segment", int(second))}


def test_a_change_of_kind_whose_new_segments_are_empty_ends_the_code(
    work: Work, store: Store, buyers: list[str]
) -> None:
    segment = str(min(store.segments))
    add_customers(work.here, work.tenant, {"champions": [], "loyal": buyers[:1]})
    add_segments(work, {segment: buyers[:4]})
    work.post(**body(segments=[f"shopify:{segment}"]))
    work.apply()
    work.patch(segments=["rfm:champions"])
    assert work.apply()["state"] == "waiting"
    assert only_discount(store).ends_at is not None
    move_customers(work.here, work.tenant, buyers[:1], "champions")
    assert work.build()["state"] == "active"
    assert only_discount(store).targets.keys() == {("Customer", int(buyers[0]))}
    assert only_discount(store).ends_at is None


def test_a_pulled_list_becomes_the_customers_with_its_addresses(
    work: Work, store: Store, buyers: list[str]
) -> None:
    add_customers(work.here, work.tenant, {"champions": buyers[:3], "loyal": buyers[3:5]})
    add_list(
        work, "LIST1", [f"c{number}@example.com" for number in buyers[2:4]] + ["x@example.com"]
    )
    work.post(**body(segments=["rfm:champions", "klaviyo:LIST1"]))
    work.apply()
    assert targets_of(only_discount(store)) == set(buyers[:4])
    work.patch(segments=["rfm:champions"], excluded_segments=["klaviyo:LIST1"])
    work.apply()
    assert targets_of(only_discount(store)) == set(buyers[:2])
    assert work.check(buyers[2]) == "excluded"
    assert work.check(f"C{buyers[2]}@example.com") == "excluded"


def test_a_list_excludes_by_every_address_that_is_known(
    work: Work, store: Store, buyers: list[str]
) -> None:
    segment = str(min(store.segments))
    add_customers(work.here, work.tenant, {"champions": buyers[:3]})
    # A new address that no build has seen yet.
    work.execute(
        "update shopify.customers set email = 'new@example.com' where customer_id = %(customer)s",
        customer=buyers[0],
    )
    # A member of a segment who has not been loaded yet.
    add_segments(work, {segment: [buyers[1], buyers[3]]})
    add_list(work, "LIST1", ["new@example.com", f"c{buyers[3]}@example.com"])
    work.post(
        **body(
            segments=["rfm:champions", f"shopify:{segment}"], excluded_segments=["klaviyo:LIST1"]
        )
    )
    work.apply()
    assert targets_of(only_discount(store)) == set(buyers[1:3])
    for customer in (buyers[0], "new@example.com", buyers[3]):
        assert work.check(customer) == "excluded"
    work.patch(segments=["klaviyo:LIST1"], excluded_segments=[])
    work.apply()
    assert targets_of(only_discount(store)) == {buyers[0], buyers[3]}
    assert work.check(buyers[3]) == "eligible"


def test_members_who_are_no_customers_in_shopify_are_counted(
    work: Work, store: Store, buyers: list[str]
) -> None:
    gone, unknown = buyers[1], "123"
    others = ["email:a@example.com", "phone:+4930123", "A-1"]
    add_customers(work.here, work.tenant, {"champions": [*buyers[:2], *others]})
    work.execute(
        "delete from shopify.customers"
        " where customer_id !~ '^[0-9]+$' and tenant_id = %(tenant_id)s"
    )
    work.execute(
        "update shopify.customers set deleted_at = now() where customer_id = %(gone)s", gone=gone
    )
    # Loaded, but deleted in the store since.
    add_customers(work.here, work.tenant, {"loyal": [unknown]})
    work.post(**body(segments=["rfm:champions", "rfm:loyal"]))
    found = work.apply()
    assert (found["state"], targets_of(only_discount(store))) == ("active", {buyers[0]})
    assert (found["targets"]["planned"], found["targets"]["unreachable"]) == (2, 4)
    assert (found["targets"]["in_shopify"], found["targets"]["refused"]) == (1, 1)
    assert work.check(unknown) == "no_shopify_customer"


def test_one_unknown_customer_keeps_no_other_out(
    work: Work, store: Store, buyers: list[str]
) -> None:
    add_customers(work.here, work.tenant, {"champions": [*buyers[:300], "7", "8"]})
    work.post(**body())
    found = work.apply()
    assert targets_of(only_discount(store)) == set(buyers[:300])
    assert (found["state"], found["targets"]["refused"]) == ("active", 2)
    # They are not sent again by each update, but when a person asks for it.
    store.customers[7] = store.customers[int(buyers[0])]
    assert work.build()["targets"]["refused"] == 2
    work.post("/VIP20/retry")
    assert work.apply()["targets"]["refused"] == 1
    assert targets_of(only_discount(store)) == {*buyers[:300], "7"}


# -- problems and ways out ------------------------------------------------------------------------


def test_a_code_that_would_have_too_many_customers_is_refused_or_stops_growing(
    work: Work, store: Store, buyers: list[str], app: APIFlask
) -> None:
    limited = replace(work.here, promo_code_customers=3)
    app.extensions["quintile"] = replace(app.extensions["quintile"], settings=limited)
    work.here = limited
    add_customers(limited, work.tenant, {"champions": buyers[:4], "loyal": buyers[4:8]})
    refused = work.post(**body(), expect=422)
    assert refused["errors"][0]["pointer"] == "#/segments"
    assert "4 customers; the most are 3" in refused["detail"]
    listed = {row["id"]: row for row in work.client.get(TARGETS).get_json()["data"]}
    assert listed["rfm:champions"]["reason"] == "too_many_customers"
    move_customers(limited, work.tenant, buyers[:1], "loyal")
    work.post(**body())
    assert work.apply()["state"] == "active"
    # It grows: nobody is added, who left is removed.
    move_customers(limited, work.tenant, [buyers[0], *buyers[4:6]], "champions")
    move_customers(limited, work.tenant, buyers[1:2], "loyal")
    found = work.build()
    assert (found["state"], found["problem"]["kind"]) == ("needs_attention", "too_many_customers")
    assert targets_of(only_discount(store)) == set(buyers[2:4])
    assert (found["targets"]["planned"], found["targets"]["to_add"]) == (5, 3)
    # Its other values can be changed all the same, and its segments to smaller ones only.
    work.patch(title="Still too many")
    work.patch(excluded_segments=["rfm:at_risk"], expect=422)
    assert work.apply()["problem"]["kind"] == "too_many_customers"
    assert only_discount(store).title == "Still too many"
    # Whom Shopify has may use it all the same.
    assert (work.check(buyers[2]), work.check(buyers[4])) == ("eligible", "code_needs_attention")
    move_customers(limited, work.tenant, buyers[4:6], "loyal")
    assert work.build()["state"] == "active"
    assert targets_of(only_discount(store)) == {buyers[0], *buyers[2:4]}


def test_shopifys_own_ceiling_is_reported(work: Work, store: Store, buyers: list[str]) -> None:
    store.most_discount_targets = 300
    add_customers(work.here, work.tenant, {"champions": buyers[:600]})
    work.post(**body())
    found = work.apply()
    assert (found["state"], found["problem"]["kind"]) == ("needs_attention", "too_many_customers")
    assert (found["targets"]["in_shopify"], found["targets"]["to_add"]) == (250, 350)
    assert len(only_discount(store).targets) == 250


def test_targets_that_shopify_refuses_keep_nothing_else_from_it(
    work: Work, store: Store, buyers: list[str]
) -> None:
    segment = str(min(store.segments))
    store.most_discount_targets = 3
    add_customers(work.here, work.tenant, {"champions": buyers[:2], "loyal": buyers[2:6]})
    add_segments(work, {segment: buyers[:4]})
    work.post(**body())
    work.post(**body(code="OTHER", segments=[f"shopify:{segment}"]))
    work.apply()
    # One leaves and others come, who are too many.
    move_customers(work.here, work.tenant, buyers[:1], "loyal")
    move_customers(work.here, work.tenant, buyers[2:6], "champions")
    work.patch(title="Cheaper")
    # Here nobody of the new customers is accepted, and the segment is not for it any more.
    work.patch("OTHER", segments=["rfm:champions"])
    found = work.apply()
    assert (found["state"], found["problem"]["kind"]) == ("needs_attention", "too_many_customers")
    discounts = {discount.code: discount for discount in store.discounts.values()}
    assert (discounts["VIP20"].title, targets_of(discounts["VIP20"])) == ("Cheaper", {buyers[1]})
    assert work.get("OTHER")["problem"]["kind"] == "too_many_customers"
    assert targets_of(discounts["OTHER"]) == {segment}
    assert discounts["OTHER"].ends_at is not None


def test_a_taken_code_is_reported_and_can_be_freed(
    work: Work, store: Store, buyers: list[str]
) -> None:
    add_customers(work.here, work.tenant, {"champions": buyers[:2]})
    theirs = Discount(1, code="vip20", title="VIP20")
    store.discounts[1] = theirs
    work.post(**body())
    for _ in range(2):
        found = work.build()
        assert (found["state"], found["problem"]["kind"]) == ("needs_attention", "code_taken")
    assert store.discounts == {1: theirs}
    with connect_as_owner(work.here) as conn:
        (finding,) = check_promo_codes(conn)
    assert finding.message == (
        "kessel: promo code 'VIP20': Your shop has another discount with this code."
    )
    assert finding.advice.endswith("quintile promo-codes retry VIP20 --tenant kessel")
    assert work.check(buyers[0]) == "code_pending"
    del store.discounts[1]
    assert work.post("/VIP20/retry")["state"] == "pending"
    assert work.apply()["state"] == "active"
    refused = work.post(**body(code="vip20"), expect=422)
    assert refused["errors"] == [
        {"pointer": "#/code", "detail": "There is a promo code 'vip20' already."}
    ]


def test_a_deleted_segment_adds_nobody_until_the_code_is_changed(
    work: Work, store: Store, buyers: list[str]
) -> None:
    kept, gone = (str(number) for number in sorted(store.segments)[:2])
    add_customers(work.here, work.tenant, {"champions": buyers[:4], "loyal": buyers[4:6]})
    add_segments(work, {kept: buyers[:1], gone: buyers[1:2]})
    work.post(**body(excluded_segments=[f"shopify:{gone}"]))
    work.apply()
    assert targets_of(only_discount(store)) == {buyers[0], *buyers[2:4]}
    work.execute(
        """
        with gone as (
            update shopify.cached_segments set gone_at = now()
            where tenant_id = %(tenant_id)s and segment_id = %(gone)s
        )
        delete from shopify.segment_members
        where tenant_id = %(tenant_id)s and segment_id = %(gone)s
        """,
        gone=gone,
    )
    move_customers(work.here, work.tenant, buyers[2:3], "loyal")
    found = work.build()
    assert (found["state"], found["problem"]["kind"]) == ("needs_attention", "segment_deleted")
    # The exclusion is not lost with its segment; who left is removed.
    assert targets_of(only_discount(store)) == {buyers[0], buyers[3]}
    work.patch(title="Still refused?")
    assert work.apply()["problem"]["kind"] == "segment_deleted"
    assert only_discount(store).title == "Still refused?"
    work.patch(excluded_segments=[f"shopify:{gone}", "rfm:loyal"])
    assert work.apply()["problem"]["kind"] == "segment_deleted"
    work.patch(excluded_segments=["rfm:loyal"])
    assert work.apply()["state"] == "active"
    assert targets_of(only_discount(store)) == {*buyers[:2], buyers[3]}


def test_an_exclusion_without_data_lets_nobody_in(
    work: Work, store: Store, buyers: list[str]
) -> None:
    add_customers(work.here, work.tenant, {"champions": buyers[:3], "loyal": buyers[3:4]})
    add_list(work, "LIST1", [f"c{buyers[1]}@example.com"])
    work.post(**body(excluded_segments=["klaviyo:LIST1", "rfm:loyal"]))
    work.apply()
    assert targets_of(only_discount(store)) == {buyers[0], buyers[2]}

    def is_held(kind: str, segment: str) -> None:
        refused = work.post(**body(code="NEW", excluded_segments=[segment]), expect=422)
        pointers = {error["pointer"] for error in refused["errors"]}
        assert pointers <= {"#/segments", "#/excluded_segments"}
        found = work.build()
        assert (found["state"], found["problem"]["kind"]) == ("needs_attention", kind)
        assert segment in found["problem"]["in_words"]
        assert targets_of(only_discount(store)) == {buyers[2]}

    # One leaves, and may not use it any more; but who was excluded does not come in.
    move_customers(work.here, work.tenant, buyers[:1], "at_risk")
    work.execute("delete from app.klaviyo_list_profiles where list_id = 'LIST1'")
    work.execute("update app.klaviyo_lists set full_read_at = null where list_id = 'LIST1'")
    is_held("not_read", "klaviyo:LIST1")
    work.execute("update app.klaviyo_lists set full_read_at = now() where list_id = 'LIST1'")
    # A segment of a saved rule that no build has applied.
    with connect(transform_url(work.here)) as conn:
        conn.execute(
            """
            insert into marts.rfm_segment_definitions (
                tenant_id, segment, label, colour, priority, description, suggested_action,
                is_published
            )
            values (%s, 'champions', 'Champions', '#000000', 1, '', '', false)
            """,
            [work.tenant],
        )
    is_held("not_built", "rfm:loyal")
    listed = {row["id"]: row for row in work.client.get(TARGETS).get_json()["data"]}
    assert (listed["rfm:loyal"]["reason"], listed["rfm:champions"]["reason"]) == (
        "not_built",
        None,
    )
    # Nothing was ever built.
    with connect(transform_url(work.here)) as conn:
        for table in ("rfm_builds", "rfm_segment_definitions"):
            conn.execute(
                SQL("delete from marts.{} where tenant_id = %s").format(Identifier(table)),
                [work.tenant],
            )
    is_held("not_built", "rfm:loyal")


def test_a_code_whose_only_segment_was_deleted_is_ended(
    work: Work, store: Store, buyers: list[str]
) -> None:
    segment = str(min(store.segments))
    add_segments(work, {segment: buyers[:2]})
    work.post(**body(segments=[f"shopify:{segment}"]))
    work.apply()
    work.execute(
        "update shopify.cached_segments set gone_at = now() where tenant_id = %(tenant_id)s"
    )
    found = work.build()
    assert (found["state"], found["problem"]["kind"]) == ("needs_attention", "segment_deleted")
    assert only_discount(store).ends_at is not None
    assert only_discount(store).targets


def test_a_segment_that_shopify_has_just_deleted_is_reported(
    work: Work, store: Store, buyers: list[str]
) -> None:
    add_segments(work, {"999": buyers[:2]})
    work.post(**body(segments=["shopify:999"]))
    found = work.apply()
    assert (found["state"], found["problem"]["kind"]) == ("needs_attention", "segment_deleted")
    assert store.discounts == {}


def test_a_discount_deleted_in_shopify_is_reported_and_made_again_when_asked(
    work: Work, store: Store, buyers: list[str]
) -> None:
    add_customers(work.here, work.tenant, {"champions": buyers[:2]})
    work.post(**body())
    work.apply()
    store.discounts.clear()
    for _ in range(2):
        found = work.build()
        assert (found["state"], found["problem"]["kind"]) == ("needs_attention", "discount_deleted")
    assert store.discounts == {}
    assert work.check(buyers[0]) == "code_pending"
    work.post("/VIP20/retry")
    found = work.apply()
    assert (found["state"], targets_of(only_discount(store))) == ("active", set(buyers[:2]))
    assert [row[0] for row in work.history()] == ["created", "gone", "created"]
    # Or it is deleted here, too.
    store.discounts.clear()
    work.build()
    assert work.client.delete(f"{PATH}/VIP20").status_code == 202
    apply_codes(work.here, work.pool, work.tenant)
    assert work.client.get(f"{PATH}/VIP20").status_code == 404


def test_a_discount_ended_in_shopify_is_reported_and_revived_when_asked(
    work: Work, store: Store, buyers: list[str]
) -> None:
    add_customers(work.here, work.tenant, {"champions": buyers[:2], "loyal": buyers[2:3]})
    work.post(**body())
    work.apply()
    only_discount(store).ends_at = store.now
    move_customers(work.here, work.tenant, buyers[2:3], "champions")
    found = work.build()
    assert (found["state"], found["problem"]["kind"]) == ("needs_attention", "discount_ended")
    assert work.check(buyers[0]) == "code_deactivated"
    assert targets_of(only_discount(store)) == set(buyers[:3])
    assert only_discount(store).ends_at == store.now
    work.post("/VIP20/retry")
    assert work.apply()["state"] == "active"
    assert only_discount(store).ends_at is None


def test_a_discount_with_another_code_in_shopify_is_reported_and_gets_its_code_back(
    work: Work, store: Store, buyers: list[str]
) -> None:
    add_customers(work.here, work.tenant, {"champions": buyers[:2], "loyal": buyers[2:3]})
    work.post(**body())
    work.apply()
    only_discount(store).code = "OTHER"
    move_customers(work.here, work.tenant, buyers[:1], "loyal")
    found = work.build()
    assert (found["state"], found["problem"]["kind"]) == ("needs_attention", "discount_renamed")
    assert "'OTHER'" in found["problem"]["in_words"]
    # Who left is removed all the same.
    assert targets_of(only_discount(store)) == {buyers[1]}
    assert work.check(buyers[1]) == "code_pending"
    work.post("/VIP20/retry")
    assert work.apply()["state"] == "active"
    assert only_discount(store).code == "VIP20"


def test_targets_changed_in_shopify_are_reported_and_restored_when_asked(
    work: Work, store: Store, buyers: list[str]
) -> None:
    add_customers(work.here, work.tenant, {"champions": buyers[:3]})
    work.post(**body())
    work.apply()
    discount = only_discount(store)
    recorded = dict(discount.targets)
    stranger, (removed, deleted, *_) = ("Customer", int(buyers[9])), list(recorded)
    # Shopify drops a customer that it deletes from the discount, which nobody has changed.
    del store.customers[deleted[1]]
    assert work.build()["problem"] is None
    del discount.targets[removed]
    discount.targets[stranger] = None
    for _ in range(2):
        found = work.build()
        assert (found["state"], found["problem"]["kind"]) == ("needs_attention", "targets_changed")
        assert ": 1 added, 1 removed." in found["problem"]["in_words"]
    assert stranger in discount.targets
    work.post("/VIP20/retry")
    assert work.apply()["problem"] is None
    assert set(discount.targets) - {deleted} == set(recorded) - {deleted}
    # Open to everybody.
    discount.targets.clear()
    assert "everybody may use it" in work.build()["problem"]["in_words"]
    work.post("/VIP20/retry")
    assert work.apply()["problem"] is None
    assert set(discount.targets) - {deleted} == set(recorded) - {deleted}


def test_a_discount_revived_in_shopify_is_ended_again_while_nobody_may_use_it(
    work: Work, store: Store, buyers: list[str]
) -> None:
    add_customers(work.here, work.tenant, {"champions": buyers[:1]})
    work.post(**body())
    work.apply()
    move_customers(work.here, work.tenant, buyers[:1], "loyal")
    assert work.build()["state"] == "waiting"
    only_discount(store).ends_at = None
    assert work.build()["state"] == "waiting"
    assert only_discount(store).ends_at == store.now


def test_a_lost_scope_stops_promo_codes_and_nothing_else(
    work: Work, store: Store, buyers: list[str]
) -> None:
    add_customers(work.here, work.tenant, {"champions": buyers[:2]})
    work.post(**body())
    store.scopes = ALL_SCOPES - {"write_discounts"}
    with pytest.raises(PromoCodesStoppedError, match="write_discounts"):
        work.apply()
    found = work.get()
    assert (found["state"], found["problem"]["kind"]) == ("needs_attention", "scope_missing")
    assert "Give the app that scope" in found["problem"]["advice"]
    connection = work.client.get("/api/admin/integrations/shopify").get_json()
    assert connection["state"] == "active"
    # As soon as it is known, no code is accepted any more.
    assert work.client.get(TARGETS).get_json()["cannot_create"] is None
    work.client.post("/api/admin/integrations/shopify/verify")
    assert "write_discounts" in work.client.get(TARGETS).get_json()["cannot_create"]
    refused = work.post(**body(code="OTHER"), expect=422)
    assert refused["type"] == "/problems/provider-refused"
    store.scopes = ALL_SCOPES
    assert work.build()["state"] == "active"


def test_without_a_connection_a_code_waits_for_it(
    work: Work, store: Store, buyers: list[str], app: APIFlask
) -> None:
    add_customers(work.here, work.tenant, {"champions": buyers[:2]})
    work.post(**body())
    work.client.delete("/api/admin/integrations/shopify")
    with pytest.raises(QuintileError, match="not connected"):
        work.apply()
    assert work.get()["problem"]["kind"] == "not_connected"
    assert work.post(**body(code="OTHER"), expect=409)["type"] == "/problems/not-connected"
    connect_shopify(work.here, work.pool, work.tenant, store.data.domain, store.data.token)
    assert work.build()["state"] == "active"


def test_a_half_made_code_goes_on_where_it_stopped(
    work: Work, shop: Sandbox, store: Store, buyers: list[str]
) -> None:
    add_customers(work.here, work.tenant, {"champions": buyers[:600]})
    work.post(**body())
    # The look-up and the creation are answered.
    shop.fail_shopify(Fault(status=503, after=2, count=2))
    with stamina.set_testing(True, attempts=2), pytest.raises(ShopifyUnavailableError):
        work.apply()
    found = work.get()
    assert (found["state"], found["problem"]["kind"]) == ("needs_attention", "shopify_unavailable")
    assert (found["targets"]["in_shopify"], found["targets"]["to_add"]) == (250, 350)
    before = requests(shop)
    found = work.apply()
    # A look-up and the two updates that are left.
    assert requests(shop) - before == 3
    assert (found["state"], found["problem"]) == ("active", None)
    assert targets_of(only_discount(store)) == set(buyers[:600])


def test_a_code_that_shopify_does_not_serve_stops_no_other(
    work: Work, shop: Sandbox, store: Store, buyers: list[str]
) -> None:
    add_customers(work.here, work.tenant, {"champions": buyers[:2]})
    work.post(**body())
    work.post(**body(code="OTHER"))
    shop.fail_shopify(Fault(lose=True, count=2))
    with stamina.set_testing(True, attempts=2), pytest.raises(ShopifyUnavailableError):
        work.apply()
    assert work.get()["problem"]["kind"] == "shopify_unavailable"
    assert work.get("OTHER")["state"] == "active"
    assert work.apply()["state"] == "active"


def test_a_creation_whose_process_died_before_the_answer_is_found_again(
    work: Work, store: Store, buyers: list[str]
) -> None:
    add_customers(work.here, work.tenant, {"champions": buyers[:3], "loyal": buyers[3:5]})
    work.post(**body())
    work.apply()
    # As if nothing had been recorded after the creation was sent.
    work.execute(
        """
        update app.promo_codes set discount_id = null, applied_revision = 0, requests_done = 0
        where tenant_id = %(tenant_id)s
        """
    )
    work.execute(
        """
        update app.promo_code_targets set state = 'adding', accepted_at = null
        where tenant_id = %(tenant_id)s
        """
    )
    # Meanwhile one of those that were sent left the segment: nobody may be forgotten.
    move_customers(work.here, work.tenant, buyers[:1], "loyal")
    found = work.apply()
    assert (found["state"], targets_of(only_discount(store))) == ("active", set(buyers[1:3]))


def test_a_value_that_shopify_refuses_is_reported_with_its_words(
    work: Work, store: Store, buyers: list[str]
) -> None:
    add_customers(work.here, work.tenant, {"champions": buyers[:2]})
    work.post(**body(title="x" * 255))
    work.execute(
        "update app.promo_codes set title = repeat('x', 256) where tenant_id = %(tenant_id)s"
    )
    found = work.apply()
    assert (found["state"], found["problem"]["kind"]) == ("needs_attention", "refused")
    assert found["problem"]["in_words"] == "The title is too long."
    work.patch(title="Short")
    assert work.apply()["state"] == "active"


# -- changing, ending, deleting -------------------------------------------------------------------


def test_values_are_changed_in_shopify(work: Work, store: Store, buyers: list[str]) -> None:
    add_customers(work.here, work.tenant, {"champions": buyers[:2]})
    work.post(**body(usage_limit=5))
    work.apply()
    changed = work.patch(amount="3.25", usage_limit=None, title="Cheaper", once_per_customer=True)
    assert (changed["state"], changed["percentage"], changed["amount"]) == ("pending", None, "3.25")
    assert work.apply()["state"] == "active"
    discount = only_discount(store)
    assert (discount.percentage, discount.amount) == (None, Decimal("3.25"))
    assert (discount.usage_limit, discount.title) == (None, "Cheaper")
    assert discount.is_once_per_customer
    # Nothing new, so nothing is queued.
    assert work.patch(title="Cheaper")["state"] == "active"
    runs = work.client.get(RUNS).get_json()["data"]
    assert {run["state"] for run in runs} == {"succeeded"}
    work.client.patch(f"{PATH}/vip20", json={"title": "Best"})
    entries = work.client.get("/api/admin/audit-log").get_json()["data"]
    assert [(entry["action"], entry["subject"]) for entry in entries] == [
        ("promo_code.changed", "VIP20"),
        ("promo_code.changed", "VIP20"),
        ("promo_code.created", "VIP20"),
    ]
    assert (entries[0]["before"]["title"], entries[0]["after"]["title"]) == ("Cheaper", "Best")
    for verb in ("deactivate", "activate"):
        work.client.post(f"{PATH}/vip20/{verb}")
    activated, deactivated, *_ = work.client.get("/api/admin/audit-log").get_json()["data"]
    active, ended = {"is_active": True}, {"is_active": False}
    assert (deactivated["before"], deactivated["after"]) == (active, ended)
    assert (activated["before"], activated["after"]) == (ended, active)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"percentage": "0"}, "percentage"),
        ({"percentage": "20"}, "percentage"),
        ({"percentage": None}, ""),
        ({"percentage": "0.2", "amount": "5"}, ""),
        ({"percentage": None, "amount": "0"}, "amount"),
        ({"percentage": None, "amount": "1.005"}, "amount"),
        ({"starts_at": "2026-06-02T00:00:00Z", "ends_at": "2026-06-01T00:00:00Z"}, "ends_at"),
        ({"starts_at": "2026-06-02T00:00:00"}, "starts_at"),
        ({"starts_at": "0001-01-01T00:00:00+12:00"}, "starts_at"),
        ({"ends_at": "9999-12-31T23:59:59-12:00"}, "ends_at"),
        ({"usage_limit": 0}, "usage_limit"),
        ({"code": "with space"}, "code"),
        ({"segments": []}, "segments"),
        ({"segments": ["rfm:unheard_of"]}, "segments"),
        ({"segments": ["shopify:404"]}, "segments"),
        ({"segments": ["champions"]}, "segments/0"),
        ({"excluded_segments": ["rfm:champions"]}, "excluded_segments"),
        ({"excluded_segments": ["klaviyo:LIST9"]}, "excluded_segments"),
    ],
)
def test_a_wrong_request_names_the_field(
    work: Work, buyers: list[str], changes: dict[str, Any], field: str
) -> None:
    add_customers(work.here, work.tenant, {"champions": buyers[:1]})
    refused = work.post(**body(**changes), expect=422)
    pointers = [error["pointer"] for error in refused.get("errors", [])]
    assert pointers == ([f"#/{field}"] if field else [])


def test_what_a_code_must_have_cannot_be_taken_away(work: Work, buyers: list[str]) -> None:
    add_customers(work.here, work.tenant, {"champions": buyers[:2]})
    work.post(**body())
    for field in ("title", "starts_at", "segments", "excluded_segments", "once_per_customer"):
        refused = work.patch(**{field: None}, expect=422)
        assert refused["errors"] == [{"pointer": f"#/{field}", "detail": "This cannot be null."}]
    refused = work.client.patch(f"{PATH}/VIP20", json={"code": "OTHER"})
    assert refused.get_json()["errors"][0]["pointer"] == "#/code"
    assert work.patch("NONE", title="x", expect=404)["type"] == "/problems/not-found"


def test_deactivating_ends_a_code_and_activating_brings_it_up_to_date(
    work: Work, store: Store, buyers: list[str]
) -> None:
    add_customers(work.here, work.tenant, {"champions": buyers[:2], "loyal": buyers[2:3]})
    work.post(**body())
    work.apply()
    assert work.post("/VIP20/deactivate")["state"] == "pending"
    assert work.apply()["state"] == "deactivated"
    assert only_discount(store).ends_at == store.now
    assert work.check(buyers[0]) == "code_deactivated"
    # No build touches it meanwhile.
    move_customers(work.here, work.tenant, buyers[2:3], "champions")
    assert work.build()["state"] == "deactivated"
    work.post("/VIP20/activate")
    assert work.apply()["state"] == "active"
    assert only_discount(store).ends_at is None
    assert targets_of(only_discount(store)) == set(buyers[:3])


def test_a_code_that_has_not_begun_can_be_deactivated_and_activated(
    work: Work, store: Store, buyers: list[str]
) -> None:
    add_customers(work.here, work.tenant, {"champions": buyers[:2], "loyal": buyers[2:3]})
    starts_at = datetime.now(UTC).replace(microsecond=0) + timedelta(days=3)
    work.post(**body(starts_at=starts_at.isoformat()))
    assert work.apply()["state"] == "scheduled"
    work.post("/VIP20/deactivate")
    assert work.apply()["state"] == "deactivated"
    ended_at = only_discount(store).ends_at
    assert ended_at is not None
    assert ended_at < datetime.now(UTC)
    move_customers(work.here, work.tenant, buyers[2:3], "champions")
    work.post("/VIP20/activate")
    assert work.apply()["state"] == "scheduled"
    assert (only_discount(store).starts_at, only_discount(store).ends_at) == (starts_at, None)
    assert targets_of(only_discount(store)) == set(buyers[:3])


def test_a_code_is_ended_by_the_start_that_shopify_has(
    work: Work, store: Store, buyers: list[str]
) -> None:
    add_customers(work.here, work.tenant, {"champions": buyers[:2]})
    later = datetime.now(UTC).replace(microsecond=0) + timedelta(days=3)
    work.post(**body(starts_at=later.isoformat()))
    work.apply()
    # Its start is in the past now, but Shopify has not been told.
    work.patch(starts_at="2026-06-01T00:00:00Z")
    work.post("/VIP20/deactivate")
    assert work.apply()["state"] == "deactivated"
    discount = only_discount(store)
    assert discount.ends_at is not None
    assert discount.starts_at < discount.ends_at
    # So Shopify still accepts changes of it.
    work.post("/VIP20/activate")
    assert work.apply()["state"] == "active"


@pytest.mark.parametrize("is_ending", [True, False])
def test_a_lost_answer_leaves_no_code_in_the_wrong_state(
    work: Work, shop: Sandbox, store: Store, buyers: list[str], is_ending: bool
) -> None:
    add_customers(work.here, work.tenant, {"champions": buyers[:2]})
    work.post(**body())
    work.apply()
    ways = ["deactivate", "activate"]
    if not is_ending:
        work.post("/VIP20/deactivate")
        work.apply()
        ways.reverse()
    work.post(f"/VIP20/{ways[0]}")
    # The change is made, but its answer does not arrive. Activating looks the code up first.
    shop.fail_shopify(Fault(lose=True, after=0 if is_ending else 1))
    with stamina.set_testing(True, attempts=1), pytest.raises(ShopifyUnavailableError):
        work.apply()
    assert (only_discount(store).ends_at is not None) == is_ending
    work.post(f"/VIP20/{ways[1]}")
    assert work.apply()["state"] == ("active" if is_ending else "deactivated")
    assert (only_discount(store).ends_at is None) == is_ending


def test_deleting_deletes_in_shopify_first(work: Work, store: Store, buyers: list[str]) -> None:
    add_customers(work.here, work.tenant, {"champions": buyers[:2]})
    work.post(**body())
    work.apply()
    answer = work.client.delete(f"{PATH}/VIP20")
    assert (answer.status_code, answer.get_json()["state"]) == (202, "deleting")
    assert only_discount(store).code == "VIP20"
    for path in ("activate", "deactivate"):
        work.post(f"/VIP20/{path}", expect=422)
    work.patch(title="x", expect=422)
    assert apply_codes(work.here, work.pool, work.tenant)["deleted"] == 1
    assert store.discounts == {}
    assert work.client.get(f"{PATH}/VIP20").status_code == 404
    assert work.client.delete(f"{PATH}/VIP20").status_code == 404
    # The code can be used again.
    work.post(**body())
    assert work.apply()["state"] == "active"


@pytest.mark.parametrize("how", ["delete", "deactivate"])
def test_what_ends_a_code_is_tried_again_after_a_problem(
    work: Work, store: Store, buyers: list[str], how: str
) -> None:
    def ask_to_end() -> str:
        path = f"{PATH}/VIP20"
        answer = (
            work.client.delete(path) if how == "delete" else work.client.post(f"{path}/deactivate")
        )
        assert answer.status_code == 202
        state: str = answer.get_json()["state"]
        return state

    add_customers(work.here, work.tenant, {"champions": buyers[:2]})
    work.post(**body())
    work.apply()
    store.scopes = ALL_SCOPES - {"write_discounts"}
    asked = "deleting" if how == "delete" else "pending"
    # Asked again, it is tried again.
    for _ in range(2):
        assert ask_to_end() == asked
        with pytest.raises(PromoCodesStoppedError):
            work.apply()
        assert work.get()["state"] == "needs_attention"
    store.scopes = ALL_SCOPES
    # And so it is after the next build.
    assert ask(work, work.tenant)
    apply_codes(work.here, work.pool, work.tenant)
    if how == "delete":
        assert store.discounts == {}
        assert work.client.get(f"{PATH}/VIP20").status_code == 404
    else:
        assert only_discount(store).ends_at is not None
        assert work.get()["state"] == "deactivated"
    assert not ask(work, work.tenant)


def test_an_earlier_end_that_met_a_problem_is_tried_again(
    work: Work, store: Store, buyers: list[str]
) -> None:
    add_customers(work.here, work.tenant, {"champions": buyers[:2]})
    work.post(**body())
    work.apply()
    store.scopes = ALL_SCOPES - {"write_discounts"}
    work.patch(ends_at="2026-06-02T00:00:00Z")
    with pytest.raises(PromoCodesStoppedError):
        work.apply()
    store.scopes = ALL_SCOPES
    assert only_discount(store).ends_at is None
    assert work.build()["state"] == "expired"
    assert only_discount(store).ends_at == datetime(2026, 6, 2, tzinfo=UTC)
    assert not ask(work, work.tenant)


def test_a_code_can_be_deleted_here_only(work: Work, store: Store, buyers: list[str]) -> None:
    add_customers(work.here, work.tenant, {"champions": buyers[:2]})
    work.post(**body())
    work.apply()
    assert work.client.delete(f"{PATH}/VIP20?keep_discount=true").status_code == 204
    assert work.client.get(f"{PATH}/VIP20").status_code == 404
    assert only_discount(store).code == "VIP20"
    newest = work.client.get("/api/admin/audit-log").get_json()["data"][0]
    assert (newest["action"], newest["subject"]) == ("promo_code.forgotten", "VIP20")
    assert newest["before"]["segments"] == ["rfm:champions"]


@pytest.mark.parametrize("is_creating", [False, True])
def test_a_code_deleted_here_during_a_run_ends_its_update_only(
    work: Work, shop: Sandbox, store: Store, buyers: list[str], is_creating: bool
) -> None:
    add_customers(work.here, work.tenant, {"champions": buyers[:2]})
    work.post(**body())
    work.post(**body(code="OTHER"))
    column = Identifier("sent_title" if is_creating else "planned_at")
    statement = SQL("select from app.promo_codes where code = 'VIP20' and {} is not null")

    def is_there() -> bool:
        with tenant_transaction(work.pool, work.tenant) as conn:
            return bool(conn.execute(statement.format(column)).fetchall())

    # Shopify is slow to answer the look-up, or the creation.
    shop.fail_shopify(Fault(delay=3, after=int(is_creating)))
    with ThreadPoolExecutor(1) as executor:
        run = executor.submit(apply_codes, work.here, work.pool, work.tenant)
        wait_until(is_there, "the look-up or creation")
        assert work.client.delete(f"{PATH}/VIP20?keep_discount=true").status_code == 204
        assert run.result(timeout=60)["created"] == 1
    # After the deletion nothing is created; what was created before it is kept.
    codes = {discount.code for discount in store.discounts.values()}
    assert codes == ({"VIP20", "OTHER"} if is_creating else {"OTHER"})
    assert work.get("OTHER")["state"] == "active"


def test_a_code_that_never_got_to_shopify_is_deleted_at_once(
    work: Work, store: Store, buyers: list[str]
) -> None:
    add_customers(work.here, work.tenant, {"loyal": buyers[:1]})
    work.post(**body())
    assert work.apply()["state"] == "waiting"
    assert work.client.delete(f"{PATH}/VIP20").status_code == 204
    assert store.discounts == {}


# -- lists and look-ups ---------------------------------------------------------------------------


def test_codes_are_listed_by_code_and_filtered(work: Work, buyers: list[str]) -> None:
    add_customers(work.here, work.tenant, {"champions": buyers[:2], "loyal": buyers[2:3]})
    future = (datetime.now(UTC) + timedelta(days=9)).isoformat()
    work.post(**body(code="b"))
    work.post(**body(code="A", title="First", segments=["rfm:loyal"]))
    work.post(**body(code="c", starts_at=future))
    work.post(**body(code="D", starts_at="2026-01-01T00:00:00Z", ends_at="2026-02-01T00:00:00Z"))
    apply_codes(work.here, work.pool, work.tenant)

    def listed(query: str) -> list[str]:
        return [row["code"] for row in work.client.get(f"{PATH}?{query}").get_json()["data"]]

    assert listed("") == ["A", "b", "c", "D"]
    assert listed("state=scheduled") == ["c"]
    assert listed("state=expired") == ["D"]
    assert listed("state=active") == ["A", "b"]
    assert listed("segment=rfm:loyal") == ["A"]
    assert listed("q=first") == ["A"]
    page = work.client.get(f"{PATH}?limit=2").get_json()
    assert listed(f"limit=2&cursor={page['next_cursor']}") == ["c", "D"]
    assert work.check(buyers[0], "c") == "code_scheduled"
    assert work.check(buyers[0], "D") == "code_expired"


def test_segments_say_how_many_they_reach_or_why_they_cannot_be_used(
    work: Work, store: Store, buyers: list[str]
) -> None:
    before = {row["id"]: row for row in work.client.get(TARGETS).get_json()["data"]}
    assert (before["rfm:champions"]["reason"], before["rfm:champions"]["size"]) == (
        "not_built",
        None,
    )
    add_customers(work.here, work.tenant, {"champions": [*buyers[:3], "email:a@example.com"]})
    with connect_as_owner(work.here) as conn:
        conn.execute("update shopify.customers set marketing_state = 'UNSUBSCRIBED'")
    set_marketing(work, buyers[:2])
    add_segments(work, {"1": buyers[:4], "2": []})
    work.execute("update shopify.cached_segments set gone_at = now() where segment_id = '2'")
    add_list(work, "LIST1", [f"c{buyers[0]}@example.com", "unknown@example.com"])
    page = work.client.get(TARGETS).get_json()
    assert (page["cannot_create"], page["most_customers"]) == (None, 5000)
    rows = {row["id"]: row for row in page["data"]}
    names = ("size", "reachable", "emailable", "reason")
    assert {
        key: tuple(rows[key][name] for name in names)
        for key in rows
        if key in ("rfm:champions", "rfm:loyal", "shopify:1", "shopify:2", "klaviyo:LIST1")
    } == {
        "rfm:champions": (4, 3, 2, None),
        "rfm:loyal": (0, 0, 0, None),
        "shopify:1": (4, 4, 1, None),
        "shopify:2": (0, 0, 0, "deleted"),
        "klaviyo:LIST1": (2, 1, 0, None),
    }
    assert rows["shopify:2"]["advice"] == "Choose another segment."
    ids = [row["id"] for row in page["data"]]
    assert ids[0] == "rfm:champions"
    # By pages, and searched.
    paged, cursor = [], ""
    while cursor is not None:
        part = work.client.get(f"{TARGETS}?limit=2{cursor}").get_json()
        paged += [row["id"] for row in part["data"]]
        cursor = part["next_cursor"] and f"&cursor={part['next_cursor']}"
    assert paged == ids
    found = work.client.get(f"{TARGETS}?q=CHAMP").get_json()["data"]
    assert [row["id"] for row in found] == ["rfm:champions"]


def test_a_customer_is_checked_by_id_or_address(work: Work, buyers: list[str]) -> None:
    add_customers(work.here, work.tenant, {"champions": buyers[:2], "loyal": buyers[2:4]})
    work.post(**body(excluded_segments=["rfm:at_risk"]))
    assert work.check(buyers[0]) == "code_pending"
    work.apply()
    assert work.check(buyers[0]) == "eligible"
    assert work.check(f" gid://shopify/Customer/{buyers[0]} ") == "eligible"
    assert work.check(f"C{buyers[0]}@Example.com") == "eligible"
    assert work.check(buyers[2]) == "not_in_segment"
    assert work.check("404") == work.check("unknown@example.com") == "unknown_customer"
    move_customers(work.here, work.tenant, buyers[:1], "loyal")
    move_customers(work.here, work.tenant, buyers[2:3], "champions")
    # Before the update that follows the build: who left may not, who came cannot yet.
    assert work.check(buyers[0]) == "not_in_segment"
    assert work.check(buyers[2]) == "not_in_shopify_yet"
    answer = work.client.get(f"{PATH}/VIP20/check?customer={buyers[1]}").get_json()
    assert answer == {
        "is_eligible": True,
        "reason": "eligible",
        "in_words": "The customer may use the code.",
        "segments": ["rfm:champions"],
        "excluded_by": [],
        "added_at": answer["added_at"],
        "removed_at": None,
    }
    assert work.client.get(f"{PATH}/VIP20/check?customer=").status_code == 422
    for code in ("NONE", "%00", "a b"):
        assert work.client.get(f"{PATH}/{code}/check?customer=1").status_code == 404
        assert work.client.get(f"{PATH}/{code}").status_code == 404
        assert work.client.delete(f"{PATH}/{code}").status_code == 404


def test_members_who_cannot_be_added_are_told_apart(work: Work, buyers: list[str]) -> None:
    gone, late = buyers[1:3]
    members = [buyers[0], gone, late, "email:ada@example.com", "A-1"]
    add_customers(work.here, work.tenant, {"champions": members})
    work.execute(
        "update shopify.customers set deleted_at = now() where customer_id = %(gone)s", gone=gone
    )
    work.execute("delete from shopify.customers where customer_id = %(late)s", late=late)
    work.post(**body())
    found = work.apply()
    assert (found["targets"]["planned"], found["targets"]["unreachable"]) == (1, 4)
    assert work.check(buyers[0]) == "eligible"
    for member in members[1:]:
        assert work.check(member) == "no_shopify_customer", member


def test_a_customer_is_found_by_address_wherever_the_store_has_it(
    work: Work, store: Store, buyers: list[str]
) -> None:
    add_customers(work.here, work.tenant, {"champions": [buyers[0], "email:ada@example.com"]})
    segment = str(min(store.segments))
    add_segments(work, {segment: buyers[3:4]})
    work.execute(
        "update shopify.customers set email = 'Mixed@Case.example' where customer_id = %(id)s",
        id=buyers[0],
    )
    with connect(transform_url(work.here)) as conn:
        conn.execute(
            "update marts.customer_facts set email = 'ada@example.com' where tenant_id = %s"
            " and customer_id = 'email:ada@example.com'",
            [work.tenant],
        )
    work.post(**body())
    work.post(**body(code="ONE", segments=[f"shopify:{segment}"]))
    work.apply()
    assert work.check("mixed@CASE.example") == "eligible"
    assert work.check("Ada@example.com") == "no_shopify_customer"
    # A member of one of Shopify's segments, who is not loaded yet.
    address = f"c{buyers[3]}@example.com"
    for customer in (buyers[3], address, f"gid://shopify/Customer/{buyers[3]}"):
        assert work.check(customer, "ONE") == "eligible", customer
    assert work.client.get(f"{PATH}/ONE/check?customer=%00").status_code == 422


def test_segments_of_shopify_need_no_build(work: Work, store: Store, buyers: list[str]) -> None:
    add_customers(work.here, work.tenant, {"champions": buyers[:1]})
    segment = str(min(store.segments))
    add_segments(work, {segment: buyers[:2]})
    work.post(**body(segments=[f"shopify:{segment}"]))
    work.apply()
    with connect(admin_url(work.here)) as conn:
        conn.execute("alter schema marts rename to not_built")
    try:
        assert work.check(buyers[1]) == "eligible"
        assert work.check("404") == "unknown_customer"
        found = work.client.get(f"/api/admin/customers/{buyers[1]}/segments").get_json()
        assert [row["id"] for row in found["data"]] == [f"shopify:{segment}"]
    finally:
        with connect(admin_url(work.here)) as conn:
            conn.execute("alter schema not_built rename to marts")


def test_a_code_that_has_ended_needs_no_attention(work: Work, buyers: list[str]) -> None:
    add_customers(work.here, work.tenant, {"champions": buyers[:4]})
    work.post(**body())
    work.apply()
    work.here = replace(work.here, promo_code_customers=3)
    assert work.build()["state"] == "needs_attention"
    work.execute("update app.promo_codes set ends_at = now() - interval '1 minute'")
    assert work.get()["state"] == "expired"
    # Unless Shopify does not know about it.
    work.execute("update app.promo_codes set revision = revision + 1")
    assert work.get()["state"] == "needs_attention"


def test_another_tenant_sees_nothing(app: APIFlask, work: Work, buyers: list[str]) -> None:
    add_customers(work.here, work.tenant, {"champions": buyers[:2]})
    work.post(**body())
    work.apply()
    with connect_as_owner(work.here) as conn:
        other = add_tenant(conn, "other", None)
    stranger = client_of(app, work.here, other)
    assert stranger.get(PATH).get_json()["data"] == []
    for path in ("", "/history", "/targets/changes", f"/check?customer={buyers[0]}"):
        assert stranger.get(f"{PATH}/VIP20{path}").status_code == 404
    assert stranger.delete(f"{PATH}/VIP20").status_code == 404
    assert not ask(work, other)


def test_an_erased_person_leaves_no_target_behind(
    work: Work, store: Store, buyers: list[str]
) -> None:
    add_customers(work.here, work.tenant, {"champions": buyers[:2]})
    work.post(**body())
    work.apply()
    with tenant_transaction(work.pool, work.tenant) as conn:
        request = add_request(conn, work.tenant, "customer_redact", buyers[0], [])
    process_now(work.here, work.pool, work.tenant, request)
    with tenant_transaction(work.pool, work.tenant) as conn:
        rows = conn.execute("select target_id from app.promo_code_targets").fetchall()
    assert [row["target_id"] for row in rows] == [buyers[1]]
    assert work.changes() == [("added", buyers[1])]
    # Shopify erases later. Until then its discount lists them, which is no edit in Shopify.
    assert targets_of(only_discount(store)) == set(buyers[:2])
    found = work.build()
    assert (found["targets"]["in_shopify"], found["problem"]) == (1, None)
    only_discount(store).targets["Customer", int(buyers[9])] = None
    assert ": 1 added, 0 removed." in work.build()["problem"]["in_words"]
    work.post("/VIP20/retry")
    assert work.apply()["problem"] is None
    with tenant_transaction(work.pool, work.tenant) as conn:
        rows = conn.execute("select target_id from app.promo_code_targets").fetchall()
    assert [row["target_id"] for row in rows] == [buyers[1]]
    assert work.changes() == [("added", buyers[1]), ("removed", buyers[9])]


# -- who was added and removed --------------------------------------------------------------------


def test_who_was_added_and_removed_is_known_by_name_and_time(work: Work, buyers: list[str]) -> None:
    first, second, third = buyers[:3]
    add_customers(work.here, work.tenant, {"champions": [first, second], "loyal": [third]})
    work.execute(
        "update shopify.customers set display_name = 'Ada' where customer_id = %(id)s", id=first
    )
    work.post(**body())
    work.apply()
    added_at = work.answer(first)["added_at"]
    move_customers(work.here, work.tenant, [first], "loyal")
    move_customers(work.here, work.tenant, [third], "champions")
    work.build()
    # A build that changes nothing records nothing.
    work.build()
    rows = work.list_changes()
    assert [(row["change"], row["id"]) for row in rows] == [
        ("added", third),
        ("removed", first),
        *(("added", each) for each in sorted((first, second), reverse=True)),
    ]
    runs = [row["run_id"] for row in work.client.get(RUNS).get_json()["data"]]
    assert [row["run_id"] for row in rows] == [runs[1], runs[1], runs[2], runs[2]]
    assert rows[1] == {
        "kind": "customer",
        "id": first,
        "name": "Ada",
        "email": f"c{first}@example.com",
        "change": "removed",
        "changed_at": rows[1]["changed_at"],
        "run_id": runs[1],
    }
    # The answer to "since when, and until when".
    assert rows[-1]["changed_at"] == added_at == work.answer(second)["added_at"]
    lost = work.answer(first)
    assert (lost["added_at"], lost["removed_at"]) == (None, rows[1]["changed_at"])
    assert work.answer(third)["added_at"] == rows[0]["changed_at"] > lost["removed_at"]
    # Added again, the customer has not lost it.
    move_customers(work.here, work.tenant, [first], "champions")
    work.build()
    again = work.answer(first)
    assert (again["added_at"] > lost["removed_at"], again["removed_at"]) == (True, None)


def test_changes_are_filtered_and_paged(work: Work, buyers: list[str]) -> None:
    add_customers(work.here, work.tenant, {"champions": buyers[:260], "loyal": []})
    work.post(**body())
    work.apply()
    move_customers(work.here, work.tenant, buyers[:2], "loyal")
    work.build()
    everyone = sorted(buyers[:260])
    found, cursor = [], ""
    while cursor is not None:
        page = work.client.get(f"{CHANGES}?limit=100{cursor and f'&cursor={cursor}'}").get_json()
        found += [(row["change"], row["id"]) for row in page["data"]]
        cursor = page["next_cursor"]
    # Each once, although 250 of them were added at the same time.
    assert sorted(found) == [
        *(("added", each) for each in everyone),
        *(("removed", each) for each in sorted(buyers[:2])),
    ]
    gone = [("removed", each) for each in sorted(buyers[:2], reverse=True)]
    assert work.changes(change="removed") == list(reversed(gone))
    removed_at = work.list_changes(change="removed")[0]["changed_at"]
    assert work.changes(since=removed_at) == list(reversed(gone))
    one_customer = [("added", buyers[0]), ("removed", buyers[0])]
    for customer in (buyers[0], f"gid://shopify/Customer/{buyers[0]}", f"C{buyers[0]}@Example.com"):
        assert work.changes(customer=customer) == one_customer
    assert work.changes(customer=buyers[0], change="added") == one_customer[:1]
    assert work.changes(customer="404") == work.changes(customer="unknown@example.com") == []
    for wrong in ("change=lost", "since=yesterday", "customer=", "customer=%00"):
        assert work.client.get(f"{CHANGES}?{wrong}").status_code == 422, wrong
    # A cursor is of the list with its filters.
    cursor = work.client.get(f"{CHANGES}?limit=1").get_json()["next_cursor"]
    other = work.client.get(f"{CHANGES}?limit=1&change=added&cursor={cursor}")
    assert other.status_code == 400
    assert work.client.get(f"{PATH}/NONE/targets/changes").status_code == 404


def test_customers_whom_shopify_does_not_know_are_recorded_as_refused(
    work: Work, store: Store, buyers: list[str]
) -> None:
    add_customers(work.here, work.tenant, {"champions": [buyers[0], "7"]})
    work.post(**body())
    work.apply()
    assert work.changes(customer="7") == [("refused", "7")]
    store.customers[7] = store.customers[int(buyers[0])]
    work.post("/VIP20/retry")
    work.apply()
    assert work.changes(customer="7") == [("refused", "7"), ("added", "7")]
    assert work.changes(customer=buyers[0]) == [("added", buyers[0])]


def test_segments_are_recorded_and_what_replaces_them(
    work: Work, store: Store, buyers: list[str]
) -> None:
    first, second = (str(number) for number in sorted(store.segments)[:2])
    add_customers(work.here, work.tenant, {"champions": buyers[:1], "loyal": buyers[1:2]})
    add_segments(work, {first: buyers[:2], second: buyers[2:3]})
    work.post(**body(segments=[f"shopify:{first}"]))
    work.apply()
    (row,) = work.list_changes()
    assert (row["kind"], row["id"], row["name"], row["email"], row["change"]) == (
        *("segment", f"shopify:{first}", f"Segment {first}", None),
        "added",
    )
    work.patch(segments=[f"shopify:{second}"])
    work.apply()
    assert work.changes()[1:] == [("added", f"shopify:{second}"), ("removed", f"shopify:{first}")]
    # A customer who has been in no table but the segment's has a name, too.
    work.execute("delete from shopify.customers where customer_id = %(id)s", id=buyers[1])
    work.patch(segments=[f"shopify:{first}"], excluded_segments=["rfm:champions"])
    work.apply()
    rows = work.list_changes()[:2]
    assert {(row["change"], row["id"], row["email"]) for row in rows} == {
        ("removed", f"shopify:{second}", None),
        ("added", buyers[1], f"c{buyers[1]}@example.com"),
    }


def test_customers_of_a_discount_deleted_in_shopify_lost_the_code_then(
    work: Work, store: Store, buyers: list[str]
) -> None:
    add_customers(work.here, work.tenant, {"champions": buyers[:1]})
    work.post(**body())
    work.apply()
    store.discounts.clear()
    since = work.build()["problem"]["since"]
    work.post("/VIP20/retry")
    work.apply()
    again, lost, first = work.list_changes()
    assert (lost["change"], lost["changed_at"], lost["run_id"]) == ("removed", since, None)
    assert first["changed_at"] < since < again["changed_at"]
    assert again["change"] == "added"
    assert work.client.delete(f"{PATH}/VIP20?keep_discount=true").status_code == 204
    assert changes_left(work) == 0


def test_old_changes_are_deleted(work: Work, buyers: list[str]) -> None:
    add_customers(work.here, work.tenant, {"champions": buyers[:2]})
    work.post(**body())
    work.apply()
    work.execute(
        "update app.promo_code_target_changes set changed_at = now() - interval '401 days'"
        " where target_id = %(id)s",
        id=buyers[0],
    )
    assert housekeep(work.here, work.pool, [work.tenant])["promo_code_changes"] == 1
    assert work.changes() == [("added", buyers[1])]
    # Who may use it now is still known.
    assert work.answer(buyers[0])["added_at"] is not None


def test_an_upgrade_keeps_since_when_customers_may_use_a_code(
    work: Work, store: Store, buyers: list[str]
) -> None:
    add_customers(work.here, work.tenant, {"champions": [*buyers[:2], "7"]})
    work.post(**body())
    work.apply()
    added_at = {buyer: work.answer(buyer)["added_at"] for buyer in buyers[:2]}
    with connect_as_owner(work.here) as conn:
        conn.execute("drop table app.promo_code_target_changes")
        conn.execute("delete from app.schema_migrations where name like '0053_%'")
    migrate(work.here)
    rows = work.list_changes()
    assert {(row["change"], row["id"], row["changed_at"], row["run_id"]) for row in rows} == {
        ("added", buyer, at, None) for buyer, at in added_at.items()
    }


def changes_left(work: Work) -> int:
    with connect_as_owner(work.here) as conn:
        return len(conn.execute("select from app.promo_code_target_changes").fetchall())


# -- what updates codes by itself -----------------------------------------------------------------


@pytest.mark.parametrize("trigger", ["person", "schedule"])
def test_every_build_is_followed_by_an_update(
    work: Work, store: Store, buyers: list[str], trigger: Trigger
) -> None:
    with connect(transform_url(work.here)) as conn:
        conn.execute(BUILT, {"tenant_id": work.tenant, "at": CALCULATED_AT})
    work.post(**body(segments=["rfm:champions", "rfm:loyal", "rfm:new", "rfm:potential"]))
    run_once(work.here, work.pool)
    assert work.get()["state"] == "waiting"
    for count in (1, 2):
        add_order(work, buyers[count])
        with tenant_transaction(work.pool, work.tenant) as conn:
            enqueue(conn, work.tenant, "build", trigger)
        work_off(work)
        assert work.get()["state"] == "active"
        assert targets_of(only_discount(store)) == set(buyers[1 : count + 1])
    triggers = [run["trigger"] for run in work.client.get(RUNS).get_json()["data"]]
    assert triggers == ["schedule", "schedule", "person"]


def test_a_plain_dbt_build_is_followed_by_an_update_once(
    work: Work, store: Store, buyers: list[str]
) -> None:
    add_customers(work.here, work.tenant, {"champions": buyers[:1], "loyal": buyers[1:2]})
    assert follow_plain_builds(work.here, work.pool) == 0
    work.post(**body(segments=["rfm:champions"]))
    for count, at in ((1, CALCULATED_AT), (2, CALCULATED_AT + timedelta(days=1))):
        move_customers(work.here, work.tenant, buyers[:count], "champions")
        with connect(transform_url(work.here)) as conn:
            conn.execute("delete from marts.rfm_builds")
            conn.execute(BUILT, {"tenant_id": work.tenant, "at": at})
        with tenant_transaction(work.pool, work.tenant) as conn:
            build = enqueue(conn, work.tenant, "build", "person")
        # A build of the service queues its own, in the end.
        work.execute(
            "update app.runs set state = 'running' where run_id = %(run)s", run=build["run_id"]
        )
        assert follow_plain_builds(work.here, work.pool) == 0
        work.execute("delete from app.runs where run_id = %(run)s", run=build["run_id"])
        assert follow_plain_builds(work.here, work.pool) == 1
        assert follow_plain_builds(work.here, work.pool) == 0
        run_once(work.here, work.pool)
        assert len(targets_of(only_discount(store))) == count


def test_a_sync_of_shopifys_segments_is_followed_by_an_update(
    work: Work, store: Store, buyers: list[str]
) -> None:
    segment = str(min(store.segments))
    add_segments(work, {segment: buyers[:1]})
    with connect(transform_url(work.here)) as conn:
        conn.execute(BUILT, {"tenant_id": work.tenant, "at": CALCULATED_AT})
    work.post(**body(segments=[f"shopify:{segment}"], excluded_segments=["rfm:loyal"]))
    run_once(work.here, work.pool)
    assert targets_of(only_discount(store)) == {buyers[0]}
    with tenant_transaction(work.pool, work.tenant) as conn:
        enqueue(conn, work.tenant, "segments_sync", "schedule")
    work_off(work)
    with tenant_transaction(work.pool, work.tenant) as conn:
        rows = conn.execute(
            "select customer_id from shopify.segment_members where segment_id = %s", [segment]
        ).fetchall()
    members = {row["customer_id"] for row in rows}
    assert len(members) > 1
    assert targets_of(only_discount(store)) == members


# -- what the tests put into the database ---------------------------------------------------------


def ask(work: Work, tenant: UUID) -> bool:
    with tenant_transaction(work.pool, tenant) as conn:
        return ask_for_updates(conn, tenant)


def work_off(work: Work) -> None:
    """Do a queued job, and the one that it queues."""
    run_once(work.here, work.pool)
    run_once(work.here, work.pool)


def add_order(work: Work, customer: str) -> None:
    """A customer with an order of yesterday."""
    work.execute(
        """
        with customer as (
            insert into shopify.customers (tenant_id, customer_id)
            values (%(tenant_id)s, %(customer)s)
        )
        insert into shopify.orders (
            tenant_id, order_id, customer_id, processed_at, currency, total_minor, subtotal_minor,
            source
        )
        values (
            %(tenant_id)s, %(customer)s, %(customer)s, now() - interval '1 day', 'EUR', 100, 100,
            'api'
        )
        """,
        customer=customer,
    )


def add_segments(work: Work, members: dict[str, list[str]]) -> None:
    """Shopify segments, as synced; their first member accepts e-mail marketing."""
    for segment, ids in members.items():
        work.execute(
            """
            insert into shopify.cached_segments (
                tenant_id, segment_id, name, query, member_count, synced_at
            )
            values (%(tenant_id)s, %(segment)s, 'Segment ' || %(segment)s, 'q', %(size)s, now())
            """,
            segment=segment,
            size=len(ids),
        )
        for number, customer in enumerate(ids):
            work.execute(
                """
                insert into shopify.segment_members (
                    tenant_id, segment_id, customer_id, email, marketing_state
                )
                values (%(tenant_id)s, %(segment)s, %(customer)s, %(email)s, %(state)s)
                """,
                segment=segment,
                customer=customer,
                email=f"c{customer}@example.com",
                state="UNSUBSCRIBED" if number else "SUBSCRIBED",
            )


def add_list(work: Work, list_id: str, emails: list[str]) -> None:
    """A list that is pulled, as read."""
    work.execute(
        """
        insert into app.klaviyo_lists (tenant_id, list_id, name, full_read_at)
        values (%(tenant_id)s, %(list)s, 'Readers', now())
        """,
        list=list_id,
    )
    work.execute(
        """
        insert into app.klaviyo_sync_configs (
            tenant_id, segment_key, list_id, list_name, direction
        )
        values (%(tenant_id)s, 'klaviyo:' || %(list)s, %(list)s, 'Readers', 'pull')
        """,
        list=list_id,
    )
    for number, email in enumerate(emails):
        work.execute(
            """
            insert into app.klaviyo_list_profiles (tenant_id, list_id, profile_id, email)
            values (%(tenant_id)s, %(list)s, %(number)s, %(email)s)
            """,
            list=list_id,
            number=str(number),
            email=email,
        )


def set_marketing(work: Work, customers: list[str]) -> None:
    """Customers who accept e-mail marketing, as of the last build."""
    with connect(transform_url(work.here)) as conn:
        conn.execute(
            "update marts.customer_facts set marketing_state = 'SUBSCRIBED'"
            " where tenant_id = %s and customer_id = any(%s)",
            [work.tenant, customers],
        )
    summarize(work.here, work.tenant)


# -- pages ----------------------------------------------------------------------------------------

PAGES = "/admin/promo-codes"


def test_pages_name_segments_without_counting_their_members(
    work: Work, store: Store, buyers: list[str]
) -> None:
    """What another transaction has locked is not read: the pages do not wait for it."""
    segment = str(min(store.segments))
    add_customers(work.here, work.tenant, {"champions": buyers[:3]})
    add_segments(work, {segment: buyers[:4]})
    add_list(work, "LIST1", ["x@example.com"])
    names = ["Champions", f"Segment {segment}"]
    work.post(**body(segments=["rfm:champions", f"shopify:{segment}"]))
    work.apply()
    with (
        connect(transform_url(work.here)) as models,
        connect_as_owner(work.here) as owner,
        models.transaction(),
        owner.transaction(),
    ):
        models.execute("lock table marts.customer_facts in access exclusive mode")
        owner.execute("lock table shopify.segment_members in access exclusive mode")
        owner.execute("lock table app.klaviyo_list_profiles in access exclusive mode")
        for path in (PAGES, f"{PAGES}/VIP20"):
            answer = work.client.get(path, headers={"Accept": "text/html"})
            assert answer.status_code == 200, answer.text
            for name in names:
                assert f'<span class="badge type">{name}</span>' in answer.text
            assert 'value="klaviyo:LIST1"' in answer.text


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        (f"?cursor={'x' * 2001}", "The list has no such page any more."),
        ("?cursor=nonsense", "The list has no such page any more."),
        ("?cursor=%00", "The list has no such page any more."),
    ],
)
@pytest.mark.parametrize("path", [PAGES, f"{PAGES}/VIP20", f"{PAGES}/VIP20/changes"])
def test_a_page_of_a_list_that_does_not_exist_is_explained(
    work: Work, buyers: list[str], path: str, parameters: str, message: str
) -> None:
    add_customers(work.here, work.tenant, {"champions": buyers[:1]})
    work.post(**body())
    answer = work.client.get(path + parameters, headers={"Accept": "text/html"})
    assert (answer.status_code, message in answer.text) == (200, True), answer.text


def test_wrong_parameters_of_pages_are_explained(work: Work, buyers: list[str]) -> None:
    add_customers(work.here, work.tenant, {"champions": buyers[:1]})
    work.post(**body())
    expected = {
        f"{PAGES}/VIP20?customer=%00": "Enter an e-mail address or the id of a customer",
        f"{PAGES}/VIP20?customer={'1' * 321}": "Enter an e-mail address or the id of a customer",
        f"{PAGES}/VIP20/changes?customer=%00": "Customer: ",
        f"{PAGES}/VIP20/changes?change=lost": "Change: This must be",
        f"{PAGES}?q=%00": "Check the filters",
        f"{PAGES}?state=lost": "Status: This must be",
        f"{PAGES}?for=%00": "Segment: ",
    }
    for url, message in expected.items():
        answer = work.client.get(url, headers={"Accept": "text/html"})
        assert (answer.status_code, message in answer.text) == (200, True), url
