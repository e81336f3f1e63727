"""With three calls in ten failing, in every way, syncs end with the same result."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from random import Random
from uuid import UUID

import pytest
import stamina

from sandbox import Fault, Sandbox
from sandbox.klaviyo import Account
from service.core import http
from service.core.config import Settings
from service.core.db import Pool, connect, connect_as_owner, create_pool, tenant_transaction
from service.core.errors import QuintileError
from service.destinations.configs import NewConfig, create_config
from service.klaviyo.connection import connect_klaviyo
from service.klaviyo.destination import LIMITS
from service.tenants.tenants import add_tenant
from tests.klaviyo import sync_once

PEOPLE = 24
SEGMENTS = ("1", "2")
SMALL = replace(LIMITS, import_profiles=4, remove_profiles=3)
EVER = 1_000_000
# About 30 % in total.
FAULTS = (
    Fault(status=429, retry_after=0, probability=0.09, count=EVER),
    Fault(status=429, retry_after=1, probability=1, count=1),
    Fault(status=503, probability=0.05, count=EVER),
    Fault(status=502, html=True, probability=0.03, count=EVER),
    Fault(drop=True, probability=0.05, count=EVER),
    Fault(lose=True, probability=0.08, count=EVER),
    Fault(truncate=True, probability=0.03, count=EVER),
    # Longer than the client of this test waits: it is done, but the answer is lost.
    Fault(delay=0.7, probability=0.02, count=EVER),
)


@dataclass
class Side:
    """A tenant with its account, a list that two segments feed, and their configurations."""

    settings: Settings
    pool: Pool
    sandbox: Sandbox
    account: Account
    tenant_id: UUID
    list_id: str

    def fill(self, members: dict[str, list[int]]) -> None:
        with tenant_transaction(self.pool, self.tenant_id) as conn:
            conn.execute(
                "delete from shopify.segment_members where tenant_id = %s", [self.tenant_id]
            )
            with conn.cursor() as cursor:
                cursor.executemany(
                    "insert into shopify.segment_members"
                    " (tenant_id, segment_id, customer_id, email) values (%s, %s, %s, %s)",
                    [
                        (self.tenant_id, segment_id, str(person), email(person))
                        for segment_id, people in members.items()
                        for person in people
                    ],
                )

    def put_on(self, person: int) -> None:
        profile = self.account.upsert_profile({"email": email(person)})[0]
        self.account.join(self.account.lists[self.list_id], [profile.id])

    def take_off(self, person: int) -> None:
        profile = self.account.profile_by_email(email(person))
        if profile is not None:
            self.account.lists[self.list_id].members.pop(profile.id, None)

    def sync(self) -> int:
        """Sync until a run succeeds, as the schedule would; returns how many failed."""
        for failed in range(50):
            try:
                sync_once(self.settings, self.pool, self.tenant_id, limits=SMALL, reads_all=True)
            except QuintileError:
                continue
            return failed
        raise AssertionError("no sync has ended well")

    def ledger(self) -> dict[tuple[str, str], tuple[object, ...]]:
        with tenant_transaction(self.pool, self.tenant_id) as conn:
            rows = conn.execute(
                """
                select c.segment_key, k.email, k.state, k.is_member, k.error_code
                from app.klaviyo_ledger as k
                inner join app.klaviyo_sync_configs as c
                    on k.tenant_id = c.tenant_id and k.config_id = c.config_id
                where k.tenant_id = %s
                """,
                [self.tenant_id],
            ).fetchall()
        return {
            (row["segment_key"], row["email"]): (row["state"], row["is_member"], row["error_code"])
            for row in rows
        }

    def arrived(self) -> Counter[tuple[str, str, str]]:
        """Events in the account: metric, address, segment."""
        profiles = self.account.profiles
        return Counter(
            (each.metric, str(profiles[each.profile_id].email), each.properties["segment"])
            for each in self.account.events.values()
        )

    def waiting(self) -> set[str]:
        with tenant_transaction(self.pool, self.tenant_id) as conn:
            rows = conn.execute("select state from app.klaviyo_events").fetchall()
        return {row["state"] for row in rows}


def email(person: int) -> str:
    return f"person{person}@example.org"


@pytest.fixture
def accounts() -> list[Account]:
    return [
        Account(
            f"pk_sandbox_{prefix}",
            name=prefix,
            currency="EUR",
            timezone="UTC",
            prefix=prefix,
            rate_limit_scale=1000,
            job_seconds=0,
        )
        for prefix in ("CA", "TR")
    ]


@pytest.fixture
def sandbox(accounts: list[Account]) -> Iterator[Sandbox]:
    with Sandbox([], accounts) as sandbox:
        yield sandbox


@pytest.fixture
def sides(
    built_settings: Settings,
    sandbox: Sandbox,
    accounts: list[Account],
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[list[Side]]:
    """The same twice: one without faults and one with."""
    here = replace(built_settings, klaviyo_url=sandbox.klaviyo_url)
    impatient = functools.partial(http.open_client, timeout=0.5)
    monkeypatch.setattr("service.klaviyo.client.open_client", impatient)
    pool = create_pool(here)
    with connect_as_owner(here) as owner:
        made = [
            Side(here, pool, sandbox, account, add_tenant(owner, account.name.lower(), None), "")
            for account in accounts
        ]
    for side in made:
        connect_klaviyo(here, pool, side.tenant_id, side.account.key)
        side.account.fail_import_of(email(5))
        side.list_id = side.account.add_list("VIP").id
        configure(side)
    yield made
    pool.close()


def configure(side: Side) -> None:
    with connect(side.settings.database_url) as admin:
        for segment_id in SEGMENTS:
            admin.execute(
                """
                insert into shopify.cached_segments (tenant_id, segment_id, name, query, synced_at)
                values (%s, %s, 'VIP', 'x', now())
                """,
                [side.tenant_id, segment_id],
            )
    with tenant_transaction(side.pool, side.tenant_id) as conn:
        for segment_id in SEGMENTS:
            config = NewConfig(f"shopify:{segment_id}", side.list_id, "VIP", sends_events=True)
            create_config(conn, side.tenant_id, config)


@pytest.mark.parametrize("seed", [1, 2])
def test_syncs_with_faults_end_as_syncs_without(
    sandbox: Sandbox, sides: list[Side], seed: int
) -> None:
    calm, trouble = sides
    rng = Random(seed)  # noqa: S311 - the same story every time
    failed = 0
    with stamina.set_testing(True, attempts=2):
        for _ in range(3):
            members = {each: rng.sample(range(PEOPLE), rng.randrange(PEOPLE)) for each in SEGMENTS}
            put_on, taken_off = rng.sample(range(PEOPLE), 2)
            for side in sides:
                side.fill(members)
                side.put_on(put_on)
                side.take_off(taken_off)
            assert calm.sync() == 0
            sandbox.fail_klaviyo(*FAULTS)
            failed += trouble.sync()
            sandbox.reset_faults()
            # Time passes, so that the next full read covers what was sent.
            pass_time(calm.settings)
        for side in sides:
            side.sync()
    assert failed > 0
    assert trouble.account.member_emails(trouble.list_id) == calm.account.member_emails(
        calm.list_id
    )
    assert trouble.ledger() == calm.ledger()
    assert trouble.arrived() == calm.arrived()
    assert calm.arrived()
    assert trouble.waiting() == {"sent"}


def pass_time(settings: Settings) -> None:
    with connect(settings.database_url) as admin:
        admin.execute("update app.klaviyo_ledger set changed_at = changed_at - interval '1 hour'")
