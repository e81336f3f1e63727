"""Pushing a segment to a Klaviyo list: additions, removals, failures and crashes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
import stamina

from sandbox import Fault, Sandbox
from sandbox.klaviyo import Account
from service.core.config import Settings
from service.core.credentials import MissingScopeError, find_connection
from service.core.db import (
    Connection,
    Pool,
    connect,
    connect_as_owner,
    create_pool,
    tenant_transaction,
)
from service.core.errors import InvalidInputError, NotConnectedError
from service.core.vault import unseal
from service.destinations.configs import paused_lists, unmap_list
from service.destinations.plan import MartsMissingError
from service.klaviyo.account import read_list_size
from service.klaviyo.client import KlaviyoError, KlaviyoRefusedError, KlaviyoUnavailableError
from service.klaviyo.connection import connect_klaviyo, open_connected_klaviyo
from service.klaviyo.destination import LIMITS, sync_klaviyo
from service.klaviyo.lists import map_list
from service.tenants.tenants import RfmChange, add_tenant, change_tenant
from tests.command import quintile
from tests.conftest import NullProgress
from tests.klaviyo import begun_run, last_rows, sync_once
from tests.web import BUILT, CALCULATED_AT

KEY = "pk_sandbox_for_these_tests"
PAUSE = """
    update app.klaviyo_sync_configs
    set is_paused = true, paused_by = 'sync', paused_at = now(), paused_reason = 'x'
"""


@pytest.fixture
def account() -> Account:
    made = Account(KEY, name="Kessel & Korn", currency="EUR", timezone="UTC", prefix="KK")
    made.add_list("Champions")
    made.add_list("Loyal")
    return made


@pytest.fixture
def here(built_settings: Settings, klaviyo: Sandbox) -> Settings:
    return replace(built_settings, klaviyo_url=klaviyo.klaviyo_url)


@pytest.fixture
def pool(here: Settings) -> Iterator[Pool]:
    pool = create_pool(here)
    yield pool
    pool.close()


@pytest.fixture
def owner(here: Settings) -> Iterator[Connection]:
    with connect_as_owner(here) as conn:
        yield conn


@pytest.fixture
def admin(here: Settings) -> Iterator[Connection]:
    with connect(here.database_url) as conn:
        yield conn


@pytest.fixture
def tenant(here: Settings, pool: Pool, owner: Connection) -> UUID:
    tenant_id = add_tenant(owner, "kessel", None)
    connect_klaviyo(here, pool, tenant_id, KEY)
    return tenant_id


@pytest.fixture
def champions(account: Account) -> str:
    return account.list_names()[0]["id"]


@pytest.fixture
def mapped(here: Settings, pool: Pool, tenant: UUID, champions: str) -> str:
    map_list(here, pool, tenant, "rfm:champions", champions)
    return champions


SetSegment = Callable[..., None]


@pytest.fixture
def segment(admin: Connection, tenant: UUID) -> SetSegment:
    """Makes an RFM segment contain exactly these addresses, as a dbt build would."""

    def become(*emails: str | None, name: str = "champions", tenant_id: UUID = tenant) -> None:
        admin.execute(
            "delete from marts.customer_facts where tenant_id = %s and segment = %s",
            [tenant_id, name],
        )
        with admin.cursor() as cursor:
            cursor.executemany(
                """
                insert into marts.customer_facts (
                    tenant_id, customer_id, email, is_excluded_from_rfm, lifetime_order_count,
                    lifetime_minor, window_order_count, window_minor, last_order_at, r_score,
                    f_score, m_score, segment
                )
                values (%s, %s, %s, false, 9, 9900, 9, 9900, '2026-06-01', 5, 5, 5, %s)
                """,
                [(tenant_id, f"{name}-{n}", email, name) for n, email in enumerate(emails)],
            )
        admin.execute(BUILT, {"tenant_id": tenant_id, "at": CALCULATED_AT})

    return become


Sync = Callable[..., dict[str, int]]


@pytest.fixture
def sync(here: Settings, pool: Pool, tenant: UUID, klaviyo: Sandbox) -> Sync:
    def run(*, reads_all: bool = False, **limits: int) -> dict[str, int]:
        klaviyo.clear_requests()
        return sync_once(here, pool, tenant, limits=replace(LIMITS, **limits), reads_all=reads_all)

    return run


def writes(klaviyo: Sandbox) -> list[str]:
    return [r.path for r in klaviyo.klaviyo_requests() if r.method != "GET"]


def ledger(pool: Pool, tenant_id: UUID) -> dict[str, str]:
    with tenant_transaction(pool, tenant_id) as conn:
        rows = conn.execute("select email, state from app.klaviyo_ledger order by email")
        return {row["email"]: row["state"] for row in rows}


def config(pool: Pool, tenant_id: UUID) -> dict[str, Any]:
    with tenant_transaction(pool, tenant_id) as conn:
        row = conn.execute("select * from app.klaviyo_sync_configs").fetchone()
    assert row is not None
    return row


def addresses(count: int) -> list[str]:
    return [f"person{n}@example.org" for n in range(count)]


# -- additions and removals ---------------------------------------------------------------------


def test_the_list_gets_the_members_with_an_address(
    sync: Sync, segment: SetSegment, mapped: str, account: Account, pool: Pool, tenant: UUID
) -> None:
    segment(
        "ada@example.org",
        "  Bob@Example.org ",
        "bob@example.org",
        "o'neil+tag@mail.example.co.uk",
        None,
        "",
        "not an address",
        "@example.org",
        "nobody@localhost",
        "two@at@example.org",
        "x" * 65 + "@example.org",
        "buyer@scs.tiktokw.us",
        "BUYER@SCS3.TIKTOK.COM",
        "buyer@chat-seller-us.tiktok.com",
        "fan@notscs.tiktokw.us.example.org",
    )
    counts = sync()
    expected = {
        "ada@example.org",
        "bob@example.org",
        "o'neil+tag@mail.example.co.uk",
        "fan@notscs.tiktokw.us.example.org",
    }
    assert account.member_emails(mapped) == expected
    assert ledger(pool, tenant) == dict.fromkeys(sorted(expected), "synced")
    assert (counts["added"], counts["removed"], counts["rejected"]) == (4, 0, 0)
    assert counts["skipped"] == 11
    assert config(pool, tenant)["last_synced_at"] is not None


def test_excluded_customers_are_left_out_and_removed(
    sync: Sync,
    segment: SetSegment,
    mapped: str,
    account: Account,
    owner: Connection,
    tenant: UUID,
) -> None:
    """From the next sync on, even before a build removes them from the mart."""
    other = add_tenant(owner, "other", None)
    change_tenant(owner, other, rfm=RfmChange(excluded_customer_ids=["champions-0"]))
    change_tenant(owner, tenant, rfm=RfmChange(excluded_customer_ids=["champions-1", "of nobody"]))
    segment("ada@example.org", "default@example.org")
    counts = sync()
    assert (counts["added"], counts["skipped"]) == (1, 1)
    assert account.member_emails(mapped) == {"ada@example.org"}
    change_tenant(owner, tenant, rfm=RfmChange(excluded_customer_ids=["champions-0"]))
    counts = sync()
    assert (counts["added"], counts["removed"]) == (1, 1)
    assert account.member_emails(mapped) == {"default@example.org"}


def test_an_address_shared_with_an_excluded_customer_is_added(
    sync: Sync,
    segment: SetSegment,
    mapped: str,
    account: Account,
    owner: Connection,
    tenant: UUID,
) -> None:
    change_tenant(owner, tenant, rfm=RfmChange(excluded_customer_ids=["champions-0"]))
    segment("ada@example.org", "Ada@Example.org")
    assert sync()["added"] == 1
    assert account.member_emails(mapped) == {"ada@example.org"}


def test_a_sync_changes_no_consent(
    sync: Sync, segment: SetSegment, mapped: str, account: Account, klaviyo: Sandbox
) -> None:
    segment("ada@example.org")
    sync()
    profile = account.profile_by_email("ada@example.org")
    assert profile is not None
    assert profile.consent == "NEVER_SUBSCRIBED"
    assert not any("subscri" in path for path in writes(klaviyo))


def test_a_sync_without_changes_writes_nothing(
    sync: Sync, segment: SetSegment, mapped: str, klaviyo: Sandbox, pool: Pool, tenant: UUID
) -> None:
    segment(*addresses(230))
    assert sync()["added"] == 230
    # 230 profiles are three pages of a list; suppressed profiles are one. All of the list and its
    # name are read until a profile has been found on it.
    for calls in (3 + 1 + 1, 3 + 1):
        counts = sync()
        assert writes(klaviyo) == []
        assert (counts["added"], counts["removed"]) == (0, 0)
        assert counts["calls"] == calls


def test_people_who_leave_the_segment_are_removed(
    sync: Sync,
    segment: SetSegment,
    mapped: str,
    account: Account,
    klaviyo: Sandbox,
    pool: Pool,
    tenant: UUID,
) -> None:
    segment("ada@example.org", "bob@example.org", "cyd@example.org")
    sync()
    segment("bob@example.org", "dee@example.org")
    counts = sync()
    assert (counts["added"], counts["removed"]) == (1, 2)
    assert account.member_emails(mapped) == {"bob@example.org", "dee@example.org"}
    assert ledger(pool, tenant) == {"bob@example.org": "synced", "dee@example.org": "synced"}
    # The profile is kept.
    assert account.profile_by_email("ada@example.org") is not None


def test_people_added_by_hand_stay_on_the_list(
    sync: Sync, segment: SetSegment, mapped: str, account: Account, pool: Pool, tenant: UUID
) -> None:
    by_hand = account.create_profile({"email": "Hand@Example.org"})
    phone_only = account.create_profile({"phone_number": "+15005550006"})
    account.join(account.lists[mapped], [by_hand.id, phone_only.id])
    segment("ada@example.org", "hand@example.org")
    assert sync()["added"] == 1
    assert ledger(pool, tenant) == {"ada@example.org": "synced", "hand@example.org": "kept"}
    segment()
    assert sync()["removed"] == 1
    assert ledger(pool, tenant) == {}
    assert account.member_emails(mapped) == {"hand@example.org"}
    assert phone_only.id in account.lists[mapped].members


def test_people_removed_by_hand_stay_off_until_they_have_left_the_segment(
    sync: Sync,
    segment: SetSegment,
    mapped: str,
    account: Account,
    klaviyo: Sandbox,
    pool: Pool,
    tenant: UUID,
) -> None:
    segment("ada@example.org", "bob@example.org")
    sync()
    sync()
    profile = account.profile_by_email("ada@example.org")
    assert profile is not None
    del account.lists[mapped].members[profile.id]
    # Klaviyo does not tell who has left a list: a full read shows it.
    assert sync()["skipped"] == 0
    for _ in range(2):
        counts = sync(reads_all=True)
        assert (counts["added"], counts["removed"], counts["skipped"]) == (0, 0, 1)
        assert writes(klaviyo) == []
        assert account.member_emails(mapped) == {"bob@example.org"}
        assert ledger(pool, tenant) == {"ada@example.org": "removed", "bob@example.org": "synced"}

    segment("bob@example.org")
    sync()
    assert ledger(pool, tenant) == {"bob@example.org": "synced"}
    segment("ada@example.org", "bob@example.org")
    assert sync()["added"] == 1
    assert account.member_emails(mapped) == {"ada@example.org", "bob@example.org"}


def test_people_added_back_by_hand_stay_on_the_list(
    sync: Sync,
    segment: SetSegment,
    mapped: str,
    account: Account,
    pool: Pool,
    tenant: UUID,
) -> None:
    segment("ada@example.org")
    sync()
    sync()
    profile = account.profile_by_email("ada@example.org")
    assert profile is not None
    del account.lists[mapped].members[profile.id]
    sync(reads_all=True)
    account.join(account.lists[mapped], [profile.id])
    sync()
    assert ledger(pool, tenant) == {"ada@example.org": "kept"}
    segment()
    assert sync()["removed"] == 0
    assert account.member_emails(mapped) == {"ada@example.org"}


def test_people_who_left_segment_and_list_are_deleted_from_the_ledger_without_a_call(
    sync: Sync,
    segment: SetSegment,
    mapped: str,
    account: Account,
    klaviyo: Sandbox,
    pool: Pool,
    tenant: UUID,
) -> None:
    segment("ada@example.org")
    sync()
    sync()
    account.lists[mapped].members.clear()
    segment()
    sync(reads_all=True)
    # The properties of a deleted customer are cleared, and no list is changed.
    assert [path for path in writes(klaviyo) if "/lists/" in path] == []
    assert ledger(pool, tenant) == {}
    sync(reads_all=True)
    assert writes(klaviyo) == []


def test_a_shopify_segment_feeds_a_list_until_the_shop_deletes_it(
    here: Settings, sync: Sync, pool: Pool, tenant: UUID, champions: str, account: Account
) -> None:
    with tenant_transaction(pool, tenant) as conn:
        conn.execute(
            """
            insert into shopify.cached_segments (tenant_id, segment_id, name, query, synced_at)
            values (%s, '7', 'VIP', 'x', now())
            """,
            [tenant],
        )
        conn.execute(
            """
            insert into shopify.segment_members (tenant_id, segment_id, customer_id, email)
            values (%s, '7', '1', 'ada@example.org'), (%s, '7', '2', null)
            """,
            [tenant, tenant],
        )
    assert map_list(here, pool, tenant, "shopify:7", champions) == "Champions"
    assert sync()["added"] == 1
    with tenant_transaction(pool, tenant) as conn:
        conn.execute("delete from shopify.segment_members")
        conn.execute("update shopify.cached_segments set gone_at = now()")
    assert sync()["paused"] == 1
    assert account.member_emails(champions) == {"ada@example.org"}
    assert config(pool, tenant)["is_paused"]
    assert "Shopify" in config(pool, tenant)["paused_reason"]
    assert "paused" not in sync()


# -- bad addresses ------------------------------------------------------------------------------


def test_a_bad_address_rejects_only_its_own_row(
    sync: Sync,
    segment: SetSegment,
    mapped: str,
    account: Account,
    klaviyo: Sandbox,
    pool: Pool,
    tenant: UUID,
) -> None:
    segment("ada@example.org", "b..b@example.org", "cyd@example.org", "d..d@example.org")
    counts = sync()
    assert (counts["added"], counts["rejected"]) == (2, 2)
    assert account.member_emails(mapped) == {"ada@example.org", "cyd@example.org"}
    assert ledger(pool, tenant)["b..b@example.org"] == "rejected"
    with tenant_transaction(pool, tenant) as conn:
        row = conn.execute(
            "select error_code, error_detail from app.klaviyo_ledger where state = 'rejected'"
        ).fetchone()
    assert row is not None
    assert row["error_code"] == "invalid"
    assert "email" in row["error_detail"].lower()

    # It is not sent at every sync, but once more after it has left and returned.
    assert sync()["skipped"] == 2
    assert writes(klaviyo) == []
    segment("ada@example.org", "cyd@example.org")
    sync()
    assert "b..b@example.org" not in ledger(pool, tenant)
    segment("ada@example.org", "b..b@example.org", "cyd@example.org")
    assert sync()["rejected"] == 1


def test_a_batch_of_bad_addresses_only_is_recorded_as_rejected(
    sync: Sync, segment: SetSegment, mapped: str, pool: Pool, tenant: UUID
) -> None:
    segment("b..b@example.org")
    assert sync()["rejected"] == 1
    assert ledger(pool, tenant) == {"b..b@example.org": "rejected"}


def test_people_who_fail_inside_an_import_are_not_recorded_as_synced(
    sync: Sync, segment: SetSegment, mapped: str, account: Account, pool: Pool, tenant: UUID
) -> None:
    account.fail_import_of("bob@example.org")
    segment("ada@example.org", "bob@example.org", "cyd@example.org")
    counts = sync()
    assert (counts["added"], counts["rejected"]) == (2, 1)
    assert ledger(pool, tenant) == {
        "ada@example.org": "synced",
        "bob@example.org": "rejected",
        "cyd@example.org": "synced",
    }


# -- failures -----------------------------------------------------------------------------------


def test_batches_keep_within_their_limits(
    sync: Sync, segment: SetSegment, mapped: str, account: Account, klaviyo: Sandbox
) -> None:
    segment(*addresses(25))
    sync(import_profiles=10)
    assert len(writes(klaviyo)) == 3
    segment()
    sync(remove_profiles=10)
    assert len([path for path in writes(klaviyo) if "/lists/" in path]) == 3
    assert account.member_emails(mapped) == set()
    segment(*addresses(25))
    sync(import_bytes=800)
    # A profile with its properties takes about 280 bytes.
    assert len(writes(klaviyo)) == 13
    assert account.member_emails(mapped) == set(addresses(25))


class _KilledError(Exception):
    pass


class _KilledAtFirstBatch(NullProgress):
    def __init__(self, run_id: UUID) -> None:
        super().__init__()
        self.run_id = run_id

    def advance(self, done: int = 1) -> None:
        raise _KilledError


def test_a_run_killed_between_batches_is_resumed(
    here: Settings,
    sync: Sync,
    segment: SetSegment,
    mapped: str,
    account: Account,
    klaviyo: Sandbox,
    pool: Pool,
    tenant: UUID,
) -> None:
    segment(*addresses(20))
    limits = replace(LIMITS, import_profiles=10, remove_profiles=10)
    with pytest.raises(_KilledError), begun_run(pool, tenant) as run:
        sync_klaviyo(here, pool, tenant, _KilledAtFirstBatch(run.run_id), limits=limits)
    assert len(account.member_emails(mapped)) == 10
    counts = sync(import_profiles=10)
    assert counts["added"] == 10
    assert len(writes(klaviyo)) == 1
    assert account.member_emails(mapped) == set(addresses(20))

    segment()
    with pytest.raises(_KilledError), begun_run(pool, tenant) as run:
        sync_klaviyo(here, pool, tenant, _KilledAtFirstBatch(run.run_id), limits=limits)
    assert sync()["removed"] == 10
    assert account.member_emails(mapped) == set()
    assert ledger(pool, tenant) == {}


def test_additions_sent_before_a_crash_are_found_on_the_list(
    sync: Sync,
    segment: SetSegment,
    mapped: str,
    account: Account,
    klaviyo: Sandbox,
    pool: Pool,
    tenant: UUID,
) -> None:
    segment("ada@example.org", "bob@example.org")
    # The import is accepted, and then every poll of its job fails.
    klaviyo.fail_klaviyo(Fault(status=500, path="/api/profile-bulk-import-jobs/", count=100))
    with (
        stamina.set_testing(True, attempts=2),
        pytest.raises(KlaviyoUnavailableError, match="status 500"),
    ):
        sync()
    assert set(ledger(pool, tenant).values()) == {"pending"}
    klaviyo.reset_faults()
    time.sleep(account.job_seconds)
    sync()
    sync()
    assert writes(klaviyo) == []
    assert set(ledger(pool, tenant).values()) == {"synced"}
    assert account.member_emails(mapped) == {"ada@example.org", "bob@example.org"}


def test_people_sent_before_a_crash_who_left_the_segment_are_removed(
    sync: Sync,
    segment: SetSegment,
    mapped: str,
    account: Account,
    klaviyo: Sandbox,
    pool: Pool,
    tenant: UUID,
) -> None:
    segment("ada@example.org")
    klaviyo.fail_klaviyo(Fault(status=500, path="/api/profile-bulk-import-jobs", count=100))
    with stamina.set_testing(True, attempts=2), pytest.raises(KlaviyoUnavailableError):
        sync()
    klaviyo.reset_faults()
    segment()
    # The import may still be running, so it stays in the ledger.
    sync()
    assert ledger(pool, tenant) == {"ada@example.org": "pending"}
    profile = account.create_profile({"email": "ada@example.org"})
    account.join(account.lists[mapped], [profile.id])
    assert sync()["removed"] == 1
    assert ledger(pool, tenant) == {}


def test_people_who_return_after_a_crash_during_their_removal_are_added_again(
    sync: Sync,
    segment: SetSegment,
    mapped: str,
    account: Account,
    klaviyo: Sandbox,
    pool: Pool,
    tenant: UUID,
) -> None:
    """A removal by Quintile must not be taken for a removal by a person."""
    segment("ada@example.org", "bob@example.org")
    sync()
    segment("bob@example.org")
    klaviyo.fail_klaviyo(
        Fault(status=500, path=f"/api/lists/{mapped}/relationships/profiles", count=100)
    )
    with stamina.set_testing(True, attempts=2), pytest.raises(KlaviyoUnavailableError):
        sync()
    klaviyo.reset_faults()
    # Klaviyo has removed them, but the answer was lost.
    profile = account.profile_by_email("ada@example.org")
    assert profile is not None
    del account.lists[mapped].members[profile.id]
    segment("ada@example.org", "bob@example.org")
    assert sync()["added"] == 1
    assert account.member_emails(mapped) == {"ada@example.org", "bob@example.org"}
    assert set(ledger(pool, tenant).values()) == {"synced"}


@pytest.mark.parametrize("path", ["/api/profiles", "/api/lists/{}/profiles"])
def test_a_last_page_that_cannot_be_read_changes_nothing(
    sync: Sync,
    segment: SetSegment,
    mapped: str,
    account: Account,
    klaviyo: Sandbox,
    pool: Pool,
    tenant: UUID,
    path: str,
) -> None:
    segment("ada@example.org", "bob@example.org")
    sync()
    segment("bob@example.org", "cyd@example.org")
    # More than a page of others, on the list and among the suppressed.
    for email in addresses(101):
        profile = account.create_profile({"email": email})
        account.join(account.lists[mapped], [profile.id])
        account.suppress(email)
    members = account.member_emails(mapped)
    klaviyo.fail_klaviyo(Fault(status=503, path=path.format(mapped), after=1, count=100))
    with stamina.set_testing(True, attempts=2), pytest.raises(KlaviyoUnavailableError):
        sync(reads_all=True)
    assert writes(klaviyo) == []
    assert account.member_emails(mapped) == members
    assert set(ledger(pool, tenant)) == {"ada@example.org", "bob@example.org"}
    klaviyo.reset_faults()
    counts = sync()
    assert (counts["added"], counts["removed"]) == (1, 1)
    assert account.member_emails(mapped) == members - {"ada@example.org"} | {"cyd@example.org"}


@pytest.mark.parametrize(
    "fault",
    [
        Fault(status=503),
        Fault(drop=True),
        Fault(truncate=True),
        Fault(status=502, html=True),
        Fault(drop=True, path="/api/profile-bulk-import-jobs"),
        Fault(truncate=True, path="/api/profile-bulk-import-jobs"),
    ],
    ids=["503", "dropped", "truncated", "502 page", "import dropped", "import truncated"],
)
def test_temporary_failures_do_not_change_the_result(
    sync: Sync,
    segment: SetSegment,
    mapped: str,
    account: Account,
    klaviyo: Sandbox,
    pool: Pool,
    tenant: UUID,
    fault: Fault,
) -> None:
    segment(*addresses(5))
    klaviyo.fail_klaviyo(fault)
    assert sync()["added"] == 5
    assert account.member_emails(mapped) == set(addresses(5))
    assert set(ledger(pool, tenant).values()) == {"synced"}


def test_a_429_is_obeyed(
    sync: Sync, segment: SetSegment, mapped: str, account: Account, klaviyo: Sandbox
) -> None:
    segment("ada@example.org")
    klaviyo.fail_klaviyo(Fault(status=429, retry_after=2))
    started = time.monotonic()
    assert sync()["added"] == 1
    assert time.monotonic() - started >= 2


def test_calls_wait_before_a_limit_is_exceeded(
    sync: Sync, segment: SetSegment, mapped: str, account: Account, klaviyo: Sandbox
) -> None:
    segment(*addresses(24))
    # Ten imports a second are allowed, and each is polled three times.
    sync(import_profiles=2)
    statuses = [request.status for request in klaviyo.klaviyo_requests()]
    assert 429 not in statuses
    assert account.member_emails(mapped) == set(addresses(24))


def test_a_refused_key_marks_the_connection_and_appears_nowhere(
    sync: Sync,
    segment: SetSegment,
    mapped: str,
    account: Account,
    pool: Pool,
    tenant: UUID,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("DEBUG")
    segment("ada@example.org")
    account.revoke_key(KEY)
    with stamina.set_testing(True, attempts=2), pytest.raises(KlaviyoRefusedError) as raised:
        sync()
    assert "connect-klaviyo" in raised.value.advice
    assert "Quintile tries it again by itself, next at " in raised.value.advice
    with tenant_transaction(pool, tenant) as conn:
        row = conn.execute("select state, state_reason from app.connections").fetchone()
    assert row is not None
    assert row["state"] == "refused"
    for text in (str(raised.value), repr(raised.value), row["state_reason"], caplog.text):
        assert KEY not in text


def test_a_deleted_list_pauses_only_its_own_configuration(
    here: Settings,
    sync: Sync,
    segment: SetSegment,
    mapped: str,
    account: Account,
    pool: Pool,
    tenant: UUID,
) -> None:
    loyal = account.list_names()[1]["id"]
    map_list(here, pool, tenant, "rfm:loyal", loyal)
    segment("ada@example.org")
    segment("bob@example.org", name="loyal")
    del account.lists[mapped]
    assert sync()["paused"] == 1
    with tenant_transaction(pool, tenant) as conn:
        rows = conn.execute(
            "select list_id, paused_reason from app.klaviyo_sync_configs where is_paused"
        ).fetchall()
    assert [row["list_id"] for row in rows] == [mapped]
    assert "no longer exists" in rows[0]["paused_reason"]
    assert account.member_emails(loyal) == {"bob@example.org"}


def test_the_command_prints_paused_lists_with_advice(
    here: Settings, segment: SetSegment, mapped: str, account: Account
) -> None:
    segment("ada@example.org")
    del account.lists[mapped]
    first = quintile(here, "sync", "klaviyo", "--tenant", "kessel")
    assert "1 paused" in first.stderr
    for done in (first, quintile(here, "sync", "klaviyo")):
        assert "list 'Champions', fed by rfm:champions, is paused" in done.stderr
        assert "The list no longer exists in Klaviyo." in done.stderr
        assert f"unmap-list kessel --segment rfm:champions --list {mapped}" in done.stderr


def test_a_failure_of_one_list_does_not_stop_the_next(
    here: Settings,
    sync: Sync,
    segment: SetSegment,
    mapped: str,
    account: Account,
    klaviyo: Sandbox,
    pool: Pool,
    tenant: UUID,
) -> None:
    loyal = account.list_names()[1]["id"]
    map_list(here, pool, tenant, "rfm:loyal", loyal)
    segment("ada@example.org")
    segment("bob@example.org", name="loyal")
    klaviyo.fail_klaviyo(Fault(status=418, path=f"/api/lists/{mapped}/profiles"))
    with pytest.raises(KlaviyoError, match="418"):
        sync()
    assert account.member_emails(loyal) == {"bob@example.org"}


def test_tenants_do_not_share_lists(
    here: Settings,
    sync: Sync,
    segment: SetSegment,
    mapped: str,
    account: Account,
    pool: Pool,
    owner: Connection,
    null_progress: NullProgress,
) -> None:
    other = add_tenant(owner, "other", None)
    connect_klaviyo(here, pool, other, KEY)
    segment("ada@example.org")
    segment("theirs@example.org", tenant_id=other)
    sync()
    assert account.member_emails(mapped) == {"ada@example.org"}
    assert sync_once(here, pool, other)["calls"] == 0
    assert ledger(pool, other) == {}


# -- the plan -----------------------------------------------------------------------------------


def test_a_dry_run_shows_the_plan_without_carrying_it_out(
    here: Settings,
    sync: Sync,
    segment: SetSegment,
    mapped: str,
    account: Account,
    klaviyo: Sandbox,
    pool: Pool,
    tenant: UUID,
) -> None:
    segment("ada@example.org", "bob@example.org", "b..b@example.org")
    sync()
    before = (ledger(pool, tenant), config(pool, tenant), account.member_emails(mapped))
    segment("bob@example.org", "b..b@example.org", "cyd@example.org", None, "x@scs.tiktokw.us")
    klaviyo.clear_requests()
    sync_once(here, pool, tenant, is_dry_run=True)
    assert writes(klaviyo) == []
    assert (ledger(pool, tenant), config(pool, tenant), account.member_emails(mapped)) == before
    (row,) = last_rows(pool, tenant)
    assert (row["state"], row["is_dry_run"], row["stopped_for"]) == ("succeeded", True, None)
    planned = row["plan"]
    assert planned["add"]["examples"] == [
        {"email": "cyd@example.org", "customer_id": "champions-2"}
    ]
    assert planned["remove"]["examples"] == [
        {"email": "ada@example.org", "customer_id": "champions-0"}
    ]
    assert (planned["add"]["count"], planned["remove"]["count"]) == (1, 1)
    assert planned["skip"]["reasons"] == {"no_address": 1, "relay": 1, "rejected": 1}
    assert planned["stop"] is None
    counts = sync()
    assert (counts["added"], counts["removed"], counts["skipped"]) == (1, 1, 3)


def test_a_sync_before_the_first_build_says_that_the_marts_are_missing(
    settings: Settings, klaviyo: Sandbox, champions: str, null_progress: NullProgress
) -> None:
    here = replace(settings, klaviyo_url=klaviyo.klaviyo_url)
    with connect_as_owner(here) as owner:
        tenant_id = add_tenant(owner, "unbuilt", None)
    pool = create_pool(here)
    try:
        connect_klaviyo(here, pool, tenant_id, KEY)
        map_list(here, pool, tenant_id, "rfm:champions", champions)
        with pytest.raises(MartsMissingError) as raised:
            sync_once(here, pool, tenant_id)
    finally:
        pool.close()
    assert "quintile build" in raised.value.advice


# -- connecting and mapping ---------------------------------------------------------------------


def test_connecting_returns_the_account_and_stores_the_key_encrypted(
    here: Settings, pool: Pool, tenant: UUID
) -> None:
    assert connect_klaviyo(here, pool, tenant, f" {KEY}\n").name == "Kessel & Korn"
    with tenant_transaction(pool, tenant) as conn:
        row = conn.execute("select * from app.connections").fetchone()
    assert row is not None
    assert unseal(here, tenant, "klaviyo", row) == KEY
    assert (row["account_name"], row["last_four"]) == ("Kessel & Korn", KEY[-4:])
    assert KEY.encode() not in row["sealed_secret"]


def test_a_key_without_a_scope_is_refused_with_the_name_of_the_scope(
    here: Settings, pool: Pool, owner: Connection, account: Account
) -> None:
    account.add_key("pk_sandbox_without_profiles", {"accounts:read", "lists:read"})
    tenant_id = add_tenant(owner, "new", None)
    with pytest.raises(MissingScopeError, match="profiles:read"):
        connect_klaviyo(here, pool, tenant_id, "pk_sandbox_without_profiles")
    with tenant_transaction(pool, tenant_id) as conn, pytest.raises(NotConnectedError):
        find_connection(conn, tenant_id, "klaviyo")


def test_only_existing_lists_and_segments_are_mapped(
    here: Settings, pool: Pool, tenant: UUID, champions: str
) -> None:
    with pytest.raises(InvalidInputError, match="no list 'Nope'") as raised:
        map_list(here, pool, tenant, "rfm:champions", "Nope")
    assert f"{champions} (Champions)" in raised.value.advice
    with pytest.raises(InvalidInputError, match="not the id"):
        map_list(here, pool, tenant, "rfm:champions", "../accounts")
    with pytest.raises(InvalidInputError, match="There is no RFM segment 'winners'") as raised:
        map_list(here, pool, tenant, "rfm:winners", champions)
    assert "rfm:hibernating" in raised.value.advice
    with pytest.raises(InvalidInputError, match="no segment '9'"):
        map_list(here, pool, tenant, "shopify:9", champions)


def test_mapping_a_paused_list_again_resumes_it(
    here: Settings, pool: Pool, tenant: UUID, mapped: str
) -> None:
    with tenant_transaction(pool, tenant) as conn:
        conn.execute(PAUSE)
    before = config(pool, tenant)["config_id"]
    map_list(here, pool, tenant, "rfm:champions", mapped)
    after = config(pool, tenant)
    assert (after["config_id"], after["is_paused"], after["paused_reason"]) == (before, False, None)


def test_an_unmapped_list_is_no_longer_synced_and_keeps_its_members(
    sync: Sync,
    segment: SetSegment,
    mapped: str,
    account: Account,
    pool: Pool,
    tenant: UUID,
) -> None:
    segment("ada@example.org")
    sync()
    with tenant_transaction(pool, tenant) as conn:
        assert unmap_list(conn, tenant, "rfm:champions", mapped) == "Champions"
    segment()
    assert sync()["calls"] == 0
    assert account.member_emails(mapped) == {"ada@example.org"}
    assert ledger(pool, tenant) == {}
    with (
        tenant_transaction(pool, tenant) as conn,
        pytest.raises(InvalidInputError, match="feeds no list"),
    ):
        unmap_list(conn, tenant, "rfm:champions", mapped)


def test_only_paused_lists_are_reported_as_paused(
    pool: Pool, owner: Connection, tenant: UUID, mapped: str
) -> None:
    other = add_tenant(owner, "other", None)
    with tenant_transaction(pool, tenant) as conn:
        assert paused_lists(conn, tenant) == []
        conn.execute(PAUSE)
        (paused,) = paused_lists(conn, tenant)
        assert (paused.segment_key, paused.list_id) == ("rfm:champions", mapped)
        assert paused_lists(conn, other) == []


def test_the_size_of_a_list_is_read_from_klaviyo(
    here: Settings, sync: Sync, segment: SetSegment, pool: Pool, tenant: UUID, mapped: str
) -> None:
    segment("ada@example.org", "bob@example.org")
    sync()
    with open_connected_klaviyo(here, pool, tenant) as client:
        assert read_list_size(client, mapped) == 2
