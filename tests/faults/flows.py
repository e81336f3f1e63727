"""The main flows: the state before, the command, and what it leaves in other servers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from service.core.config import Settings
from service.core.db import (
    Pool,
    connect,
    connect_as_owner,
    tenant_transaction,
)
from service.destinations.configs import Direction, NewConfig, create_config, request_full_read
from service.klaviyo.connection import connect_klaviyo
from service.notifications.endpoints import add_endpoint
from service.privacy.requests import add_request
from service.promo_codes.codes import CodeValues, ask_for_updates, change_code, create_code
from service.queue.defer import defer_privacy
from service.shopify.connection import connect_shopify
from service.shopify.sync import sync_shopify
from service.tenants.tenants import add_tenant
from service.worker.run_once import run_once
from tests.conftest import NullProgress
from tests.faults.worlds import DOMAIN, KEY, World
from tests.integration.test_webhook_events import ALL_TOPICS, Play
from tests.klaviyo import sync_once
from tests.metafields import Scored, score, switch
from tests.promo_codes import add_customers, apply_codes, move_customers
from tests.web import add_samples, add_scored_customers

NAME = "kessel"
_AS_OF = "2026-07-01T00:00:00+00:00"
_STARTS = datetime(2026, 6, 1, tzinfo=UTC)
_PEOPLE = 60


@dataclass(frozen=True)
class Stage:
    """A connected tenant before a flow, in its database, with the servers that it calls."""

    settings: Settings
    pool: Pool
    tenant_id: UUID
    world: World
    receiver_url: str


@dataclass(frozen=True)
class Flow:
    """A flow.

    Args:
        name: Its name.
        command: The command, and what a person runs again after a fault.
        prepare: What happened before.
        outside: What it leaves in other servers.
        settings: Settings that it needs.
        is_built: Whether it needs marts.
        has_upstream: Whether it calls other servers.
        has_files: Whether it writes temporary files.
        is_read_back: Whether only the next run reads what this one has changed in other servers.
    """

    name: str
    command: tuple[str, ...]
    prepare: Callable[[Stage], None]
    outside: Callable[[World], dict[str, Any]] = lambda _world: {}
    settings: Mapping[str, Any] = field(default_factory=dict)
    is_built: bool = True
    has_upstream: bool = True
    has_files: bool = False
    is_read_back: bool = False

    @property
    def is_of_jobs(self) -> bool:
        """Whether the command runs the waiting jobs, as a worker does."""
        return self.command[0] == "jobs"


def connect_store(stage: Stage) -> None:
    """Only connected."""
    token = stage.world.store.data.token
    connect_shopify(stage.settings, stage.pool, stage.tenant_id, DOMAIN, token)


def make_tenant(settings: Settings) -> UUID:
    with connect_as_owner(settings) as owner:
        return add_tenant(owner, NAME, DOMAIN)


# -- syncs with Shopify -------------------------------------------------------------------------


def _synced(stage: Stage, only: Any) -> None:
    connect_store(stage)
    sync_shopify(stage.settings, stage.pool, stage.tenant_id, NullProgress(), only=only)


def _changed_orders(stage: Stage) -> None:
    """Synced; then orders were edited and deleted, and customers merged."""
    _synced(stage, "orders")
    store = stage.world.store
    numbers = [order.number for order in store.data.orders]
    for number in numbers[:60]:
        store.update_order(number, note="edited")
    for number in numbers[60:70]:
        store.delete_order(number)
    kept, gone, *_ = dict.fromkeys(
        order.customer_number for order in store.data.orders[70:] if order.customer_number
    )
    store.merge_customers(kept, gone)


def _changed_members(stage: Stage) -> None:
    """Synced; then customers were deleted, and the query of a segment was changed."""
    _synced(stage, "segments")
    store = stage.world.store
    for number in sorted(store.customers)[:15]:
        store.delete_customer(number)
    store.update_segment(min(store.segments), query="number_of_orders >= 2")


# -- Klaviyo ------------------------------------------------------------------------------------


def _email(person: int) -> str:
    return f"person{person}@example.org"


def _join(world: World, list_id: str, *people: int) -> None:
    profiles = [world.account.upsert_profile({"email": _email(n)})[0] for n in people]
    world.account.join(world.account.lists[list_id], [profile.id for profile in profiles])


def _map(stage: Stage, key: str, list_id: str, direction: Direction, **options: bool) -> None:
    with tenant_transaction(stage.pool, stage.tenant_id) as conn:
        new = NewConfig(key, list_id, "VIP", direction, **options)
        create_config(conn, stage.tenant_id, new)


def _segment(stage: Stage, people: range) -> str:
    with tenant_transaction(stage.pool, stage.tenant_id) as conn:
        conn.execute(
            "insert into shopify.cached_segments (tenant_id, segment_id, name, query, synced_at)"
            " values (%s, '1', 'VIP', 'x', now()) on conflict do nothing",
            [stage.tenant_id],
        )
        conn.execute(
            "delete from shopify.segment_members where tenant_id = %s and segment_id = '1'",
            [stage.tenant_id],
        )
        with conn.cursor() as cursor:
            cursor.executemany(
                "insert into shopify.segment_members (tenant_id, segment_id, customer_id, email)"
                " values (%s, '1', %s, %s)",
                [(stage.tenant_id, str(person), _email(person)) for person in people],
            )
    return "shopify:1"


def _with_klaviyo(stage: Stage) -> str:
    connect_klaviyo(stage.settings, stage.pool, stage.tenant_id, KEY)
    return stage.world.account.add_list("VIP").id


def _changed_segment(stage: Stage) -> None:
    """Synced, with an event for each; then people came and left, and an address is not accepted."""
    list_id = _with_klaviyo(stage)
    stage.world.account.fail_import_of(_email(_PEOPLE))
    _map(stage, _segment(stage, range(_PEOPLE)), list_id, "push", sends_events=True)
    sync_once(stage.settings, stage.pool, stage.tenant_id)
    _segment(stage, range(20, _PEOPLE + 30))


def _changed_list(stage: Stage) -> None:
    """Pulled; then people joined and left the list."""
    list_id = _with_klaviyo(stage)
    _join(stage.world, list_id, *range(_PEOPLE))
    _map(stage, f"klaviyo:{list_id}", list_id, "pull")
    sync_once(stage.settings, stage.pool, stage.tenant_id)
    _leave_and_join(stage, list_id)


def _changed_both(stage: Stage) -> None:
    """Synced both ways; then people came and left on both sides."""
    list_id = _with_klaviyo(stage)
    _map(stage, _segment(stage, range(_PEOPLE)), list_id, "bidirectional", sends_events=True)
    sync_once(stage.settings, stage.pool, stage.tenant_id)
    _leave_and_join(stage, list_id)
    _segment(stage, range(5, _PEOPLE + 20))


def _leave_and_join(stage: Stage, list_id: str) -> None:
    account = stage.world.account
    for person in range(10, 20):
        profile = account.profile_by_email(_email(person))
        assert profile is not None
        account.lists[list_id].members.pop(profile.id, None)
    _join(stage.world, list_id, *range(200, 230))
    with tenant_transaction(stage.pool, stage.tenant_id) as conn:
        request_full_read(conn, stage.tenant_id, None)


def _in_klaviyo(world: World) -> dict[str, Any]:
    account = world.account
    account.finish_old_jobs()
    profiles = account.profiles
    return {
        "members": {
            each["name"]: sorted(account.member_emails(each["id"])) for each in account.list_names()
        },
        "profiles": sorted(f"{p.email} {sorted(p.properties.items())}" for p in profiles.values()),
        "events": sorted(
            f"{event.metric} {profiles[event.profile_id].email} {event.is_backfill}"
            for event in account.events.values()
        ),
    }


# -- models, privacy ----------------------------------------------------------------------------


def _orders(stage: Stage) -> None:
    """Orders that no build has seen."""
    _synced(stage, "orders")


def _asked_to_erase(stage: Stage) -> None:
    """A person with orders and samples is to be erased, here and in Klaviyo."""
    _synced(stage, "orders")
    connect_klaviyo(stage.settings, stage.pool, stage.tenant_id, KEY)
    store = stage.world.store
    number = next(o.customer_number for o in store.data.orders if o.customer_number)
    email = store.customers[number].email
    assert email is not None
    stage.world.account.upsert_profile({"email": email})
    add_scored_customers(stage.settings, stage.tenant_id, [(str(number), "champions", "9.00")])
    sample = {"order_id": str(store.data.orders[0].number), "customer_email": email}
    add_samples(stage.settings, stage.tenant_id, [sample])
    with tenant_transaction(stage.pool, stage.tenant_id) as conn:
        asked = add_request(conn, stage.tenant_id, "customer_redact", str(number), [email])
        defer_privacy(conn, stage.tenant_id, asked)


# -- promo codes and metafields -----------------------------------------------------------------


def _changed_codes(stage: Stage) -> None:
    """Applied; then members came and left, and a person changed the value."""
    connect_store(stage)
    buyers = [str(number) for number in sorted(stage.world.store.customers)]
    half = len(buyers) // 2
    segments = {"champions": buyers[:half], "loyal": buyers[half:]}
    add_customers(stage.settings, stage.tenant_id, segments)
    values = CodeValues("VIP", _STARTS, ["rfm:champions"], percentage=Decimal("0.2"))
    with tenant_transaction(stage.pool, stage.tenant_id) as conn:
        create_code(stage.settings, conn, stage.tenant_id, "VIP20", values)
    apply_codes(stage.settings, stage.pool, stage.tenant_id)
    move_customers(stage.settings, stage.tenant_id, buyers[: half // 2], "loyal")
    move_customers(stage.settings, stage.tenant_id, buyers[half : half + half // 2], "champions")
    with tenant_transaction(stage.pool, stage.tenant_id) as conn:
        ask_for_updates(conn, stage.tenant_id)
        changes = {"amount": Decimal(5), "title": "VIP 5"}
        change_code(stage.settings, conn, stage.tenant_id, "VIP20", changes)


def _discounts(world: World) -> dict[str, Any]:
    return {
        "discounts": [
            (
                *(each.code, each.title, each.percentage, each.amount, each.ends_at is None),
                sorted(number for _, number in each.targets),
            )
            for each in world.store.discounts.values()
        ]
    }


def _scored(stage: Stage) -> None:
    """Scored customers, and a person who has turned metafields on."""
    connect_store(stage)
    champion: Scored = ("champions", 5, 5, 5)
    sleeper: Scored = ("hibernating", 1, 1, 2)
    customers = sorted(stage.world.store.customers)
    scores = {str(n): (champion if at % 3 else sleeper) for at, n in enumerate(customers)}
    score(stage.settings, stage.tenant_id, scores)
    switch(stage.pool, stage.tenant_id, on=True)


def _metafields(world: World) -> dict[str, Any]:
    known = world.store.metafields
    return {
        "metafields": sorted(f"{place}: {value}" for place, value in known.values.items()),
        "definitions": sorted(
            f"{name} {each.type} {each.is_filterable}" for name, each in known.definitions.items()
        ),
    }


# -- outgoing webhooks --------------------------------------------------------------------------


def _something_to_announce(stage: Stage) -> None:
    """An endpoint that knows one build; then a build and syncs found changes."""
    connect_store(stage)
    customers = [f"c{number}" for number in range(300)]
    with tenant_transaction(stage.pool, stage.tenant_id) as conn:
        add_endpoint(stage.settings, conn, stage.tenant_id, stage.receiver_url, ALL_TOPICS)
    with closing(connect(stage.settings.database_url)) as superuser:
        play = Play(superuser, stage.tenant_id)
        play.built(1, dict.fromkeys(customers, (None, "champions")))
        play.ran()
        run_once(stage.settings, stage.pool)
        superuser.execute("delete from app.webhook_deliveries where state = 'delivered'")
        stage.world.receiver.accepted.clear()
        play.built(2, dict.fromkeys(customers, ("champions", "loyal")))
        play.entered_shopify([("7", "c1", True), ("7", "c2", False)], minute=2)
        play.pulls("L1")
        play.entered_list([("L1", "P1", True), ("L1", "P2", False)], minute=2)
        add_samples(stage.settings, stage.tenant_id, [{"order_id": "day 2"}])
        play.ran()


def _received(world: World) -> dict[str, Any]:
    """Messages in order; those of a kind have the same rank whatever their ids."""
    return {
        "received": [
            (body["type"], sorted(map(repr, _without_ids(body["data"]).items())))
            for body in world.receiver.once()
        ]
    }


def _without_ids(data: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in data.items() if name != "run_id"}


FLOWS = {
    flow.name: flow
    for flow in (
        Flow(
            "backfill",
            ("sync", "shopify", "--tenant", NAME, "--only", "orders"),
            connect_store,
            settings={"shopify_bulk_from": 100},
            is_built=False,
        ),
        Flow(
            "incremental",
            ("sync", "shopify", "--tenant", NAME, "--only", "orders", "--compare"),
            _changed_orders,
            is_built=False,
        ),
        Flow(
            "segments",
            ("sync", "shopify", "--tenant", NAME, "--only", "segments"),
            connect_store,
            is_built=False,
            has_files=True,
        ),
        Flow(
            "members",
            ("sync", "shopify", "--tenant", NAME, "--only", "segments"),
            _changed_members,
            is_built=False,
            has_files=True,
        ),
        Flow(
            "build",
            ("build", "--tenant", NAME, "--as-of", _AS_OF),
            _orders,
            has_upstream=False,
            has_files=True,
        ),
        Flow(
            "push",
            ("sync", "klaviyo", "--tenant", NAME),
            _changed_segment,
            _in_klaviyo,
            is_read_back=True,
            has_files=True,
        ),
        Flow(
            "pull",
            ("sync", "klaviyo", "--tenant", NAME),
            _changed_list,
            _in_klaviyo,
            has_files=True,
        ),
        Flow(
            "two-way",
            ("sync", "klaviyo", "--tenant", NAME),
            _changed_both,
            _in_klaviyo,
            is_read_back=True,
            has_files=True,
        ),
        Flow("redaction", ("jobs", "work"), _asked_to_erase, _in_klaviyo),
        Flow(
            "promo codes",
            ("promo-codes", "apply", "--tenant", NAME),
            _changed_codes,
            _discounts,
        ),
        Flow(
            "metafields",
            ("metafields", "sync", "--tenant", NAME),
            _scored,
            _metafields,
            settings={"shopify_metafields_bulk_from": 1},
            has_files=True,
        ),
        Flow(
            "outgoing webhooks",
            ("jobs", "work"),
            _something_to_announce,
            _received,
        ),
    )
}
