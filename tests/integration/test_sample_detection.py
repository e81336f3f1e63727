"""Which orders are samples, by index and without, however odd tags, channels and settings are."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import UUID

import pytest

from service.core.config import Settings
from service.core.db import Connection, connect, create_pool, tenant_transaction, transform_url
from tests.conftest import MakeTenant
from tests.samples import build_samples, configure, land

Found = dict[str, tuple[list[str], list[str], str]]


def samples(conn: Connection, tenant_id: UUID) -> Found:
    rows = conn.execute(
        """
        select order_id, matched_tags, matched_patterns, price_reason
        from intermediate.int_orders_matched_as_samples
        where tenant_id = %s
        """,
        [tenant_id],
    ).fetchall()
    return {
        row["order_id"]: (row["matched_tags"], row["matched_patterns"], row["price_reason"])
        for row in rows
    }


def previewed(settings: Settings, conn: Connection, tenant_id: UUID) -> Found:
    """What the same settings find without the index on tags, as the service sees the orders."""
    config = conn.execute(
        "select to_jsonb(s) as config from app.samples_config as s where tenant_id = %s",
        [tenant_id],
    ).fetchone()
    assert config is not None
    pool = create_pool(settings)
    try:
        with tenant_transaction(pool, tenant_id, read_only=True) as own:
            own.execute(
                "select set_config('app.samples_preview', %s, true)", [json.dumps(config["config"])]
            )
            rows = own.execute("select * from marts.sample_preview").fetchall()
    finally:
        pool.close()
    return {
        row["order_id"]: (row["matched_tags"], row["matched_patterns"], row["price_reason"])
        for row in rows
    }


@pytest.fixture
def reader(settings: Settings) -> Iterator[Connection]:
    """dbt's role, which reads every tenant's marts."""
    with connect(transform_url(settings)) as conn:
        yield conn


@pytest.fixture
def build(settings: Settings, tmp_path: Path) -> Callable[..., None]:
    def run(command: str = "build") -> None:
        build_samples(settings, tmp_path, command)

    return run


# Each tag with a way of writing it that means the same.
ODD_TAGS = {
    "quote's": "QUOTE'S",
    '"quoted"': ' "Quoted" ',
    "a, b": "A, B",
    "100%": "100% ",
    "under_score": "UNDER_SCORE",
    "back\\slash": "BACK\\slash",
    "{curly}": "{CURLY}",
    "null": "NULL",
    "🎁 gift": "🎁 GIFT\n",
    "caf\u00e9": "CAFE\u0301",
    "\uac00": "\u1100\u1161",
    "x" * 4000: "X" * 4000,
}


def test_odd_tags_settings_and_channels_are_found_by_index_and_without(
    settings: Settings,
    owner: Connection,
    reader: Connection,
    make_tenant: MakeTenant,
    build: Callable[..., None],
) -> None:
    tagged = make_tenant("tagged")
    configure(owner, tagged, ugc_tags=list(ODD_TAGS), tiktok_tags=["100%"])
    land(
        owner,
        tagged,
        [
            *(
                {"order_id": f"odd {number}", "tags": [tag]}
                for number, tag in enumerate(ODD_TAGS.values())
            ),
            {"order_id": "many", "tags": [f"tag {n}" for n in range(249)] + ["a, b"]},
            {"order_id": "many others", "tags": [f"tag {n}" for n in range(250)]},
            {"order_id": "none", "tags": []},
            {"order_id": "nulls", "tags": [None, ""]},
            {"order_id": "part", "tags": ["a", "b", "100", "caf", "cafe"]},
        ],
    )
    channels = make_tenant("channels")
    configure(owner, channels, channel_patterns=["channel 77__", "no such%"])
    land(
        owner,
        channels,
        ({"order_id": str(n), "channel": f"Channel {n}"} for n in range(10_000)),
    )
    wild = {
        "all": ["%"],
        "all_again": ["%%%%%"],
        "one_sign": ["_"],
        "literal": [r"\%"],
        "backslash": ["\\\\"],
        "nothing": [],
    }
    for name, patterns in wild.items():
        tenant = make_tenant(name)
        configure(owner, tenant, channel_patterns=patterns)
        land(
            owner,
            tenant,
            [
                {"order_id": f"{name} {channel}", "channel": channel}
                for channel in ("x", "%", "\\", "Online Store", None)
            ],
        )
    build()

    found = samples(reader, tagged)
    assert set(found) == {f"odd {number}" for number in range(len(ODD_TAGS))} | {"many"}
    assert [found[f"odd {n}"][0] for n in range(len(ODD_TAGS))] == [
        [tag] for tag in ODD_TAGS.values()
    ]
    both = reader.execute(
        "select order_id from intermediate.int_orders_matched_as_samples where is_ugc and is_tiktok"
    ).fetchall()
    assert [row["order_id"] for row in both] == [f"odd {list(ODD_TAGS).index('100%')}"]

    assert set(samples(reader, channels)) == {str(n) for n in range(7700, 7800)}

    tenants = {
        row["name"]: row["tenant_id"]
        for row in owner.execute("select name, tenant_id from app.tenants").fetchall()
    }
    matched = {
        name: {order.removeprefix(f"{name} ") for order in samples(reader, tenants[name])}
        for name in wild
    }
    assert matched == {
        "all": {"x", "%", "\\", "Online Store"},
        "all_again": {"x", "%", "\\", "Online Store"},
        "one_sign": {"x", "%", "\\"},
        "literal": {"%"},
        "backslash": {"\\"},
        "nothing": set(),
    }
    for tenant in tenants.values():
        assert previewed(settings, reader, tenant) == samples(reader, tenant)


# A line of goods of 9.00.
LISTED = {"line_items": json.dumps([{"unit_price_minor": 900, "quantity": 1}])}


def test_an_order_enters_and_leaves_as_it_changes(
    settings: Settings,
    owner: Connection,
    reader: Connection,
    make_tenant: MakeTenant,
    build: Callable[..., None],
) -> None:
    tenant = make_tenant()
    configure(
        *(owner, tenant),
        ugc_tags=["ugc"],
        tiktok_tags=["free sample"],
        channel_patterns=["tiktok%"],
    )
    land(
        owner,
        tenant,
        [
            {"order_id": "paid", "tags": ["Free sample"], "subtotal_minor": 900},
            {"order_id": "ugc", "tags": ["ugc"], "subtotal_minor": 900, "customer_id": "7"},
            {"order_id": "sold", "channel": "TikTok Shop", "subtotal_minor": 900, **LISTED},
            {"order_id": "cheap", "channel": "TikTok Shop", "subtotal_minor": 90, **LISTED},
            {"order_id": "retagged", "tags": ["UGC"]},
            {"order_id": "deleted", "tags": ["ugc"]},
            {"order_id": "cancelled", "tags": ["ugc"], "fulfillment_status": "FULFILLED"},
            {"order_id": "gifted", "tags": ["Gifted"]},
        ],
    )
    build()
    assert set(samples(reader, tenant)) == {"ugc", "retagged", "deleted", "cancelled"}
    assert near_misses(reader, tenant) == {
        ("paid", "tag_not_free"),
        ("cheap", "channel_not_free"),
        ("gifted", "tag_looks_like_sample"),
    }

    for change in (
        "refunded_minor = 900 where order_id in ('paid', 'cheap')",
        "tags = '{vip}' where order_id = 'retagged'",
        "deleted_at = now() where order_id = 'deleted'",
        "cancelled_at = now() where order_id = 'cancelled'",
        "tags = '{}' where order_id = 'ugc'",
    ):
        owner.execute(f"update shopify.orders set {change}")  # type: ignore[call-overload]
    owner.execute(
        """
        insert into app.sample_decisions (tenant_id, order_id, decision, decided_by)
        values (%(t)s, 'sold', 'tiktok', 'Ada'), (%(t)s, 'gifted', 'dismissed', 'Ada')
        """,
        {"t": tenant},
    )
    build()
    assert samples(reader, tenant) == previewed(settings, reader, tenant)
    assert samples(reader, tenant) == {
        "sold": ([], [], "any"),
        "paid": (["Free sample"], [], "refunded"),
        "cancelled": (["ugc"], [], "free"),
    }
    statuses = reader.execute("select order_id, status from marts.sample_orders order by 1")
    assert [(row["order_id"], row["status"]) for row in statuses.fetchall()] == [
        ("cancelled", "cancelled"),
        ("paid", "pending"),
        ("sold", "pending"),
    ]
    marked = reader.execute("select evidence from marts.sample_orders where order_id = 'sold'")
    assert marked.fetchall() == [{"evidence": "a person marked it as a sample"}]
    assert near_misses(reader, tenant) == {
        ("cheap", "channel_not_free"),
        ("gifted", "tag_looks_like_sample"),
    }


def test_each_type_of_sample_has_its_own_price_condition(
    settings: Settings,
    owner: Connection,
    reader: Connection,
    make_tenant: MakeTenant,
    build: Callable[..., None],
) -> None:
    """By default only TikTok samples must be free. Builds, previews and near misses agree."""
    paid = {"subtotal_minor": 900}
    refunded = {"subtotal_minor": 900, "refunded_minor": 900}
    both = ["ugc", "free sample"]
    orders = [
        {"order_id": "ugc paid", "tags": ["UGC "], **paid},
        {"order_id": "ugc refunded", "tags": ["ugc"], **refunded},
        {"order_id": "ugc free", "tags": ["ugc"]},
        {"order_id": "tiktok paid", "tags": ["free sample"], **paid},
        {"order_id": "tiktok refunded", "tags": ["free sample"], **refunded},
        {"order_id": "both paid", "tags": both, "channel": "TikTok", **paid},
        {"order_id": "both free", "tags": both, "channel": "TikTok"},
        {"order_id": "channel paid", "channel": "TikTok", "tags": [], **paid, **LISTED},
        {"order_id": "channel refunded", "channel": "TikTok", "tags": [], **refunded},
        {"order_id": "channel cheap", "channel": "TikTok", "tags": [], **LISTED}
        | {"subtotal_minor": 90},
    ]
    conditions = {
        (is_tiktok_free, is_ugc_free): make_tenant(f"t{is_tiktok_free:d}{is_ugc_free:d}")
        for is_tiktok_free in (True, False)
        for is_ugc_free in (True, False)
    }
    for (is_tiktok_free, is_ugc_free), tenant in conditions.items():
        configure(
            *(owner, tenant),
            ugc_tags=["ugc"],
            tiktok_tags=["free sample"],
            channel_patterns=["tiktok"],
            zero_price_only=is_tiktok_free,
            ugc_zero_price_only=is_ugc_free,
        )
        land(owner, tenant, orders)
    default = make_tenant("defaults")
    land(owner, default, orders)
    build()

    def types(tenant: UUID) -> dict[str, set[str]]:
        rows = reader.execute(
            "select order_id, is_ugc, is_tiktok from marts.sample_orders where tenant_id = %s",
            [tenant],
        ).fetchall()
        return {
            kind: {row["order_id"] for row in rows if row[f"is_{kind}"]}
            for kind in ("ugc", "tiktok")
        }

    free_ugc = {"ugc free", "ugc refunded", "both free"}
    any_ugc = free_ugc | {"ugc paid", "both paid"}
    free_tiktok = {"tiktok refunded", "both free"}
    any_tiktok = free_tiktok | {
        "tiktok paid",
        "both paid",
        "channel paid",
        "channel cheap",
        "channel refunded",
    }
    assert {key: types(tenant) for key, tenant in conditions.items()} == {
        (True, False): {"ugc": any_ugc, "tiktok": free_tiktok},
        (True, True): {"ugc": free_ugc, "tiktok": free_tiktok},
        (False, False): {"ugc": any_ugc, "tiktok": any_tiktok},
        (False, True): {"ugc": free_ugc, "tiktok": any_tiktok},
    }
    assert types(default) == types(conditions[True, False])
    assert samples(reader, default)["both paid"] == (["ugc"], [], "any")
    for tenant in (*conditions.values(), default):
        assert previewed(settings, reader, tenant) == samples(reader, tenant)
    sales = {("channel cheap", "channel_not_free")}
    assert {key: near_misses(reader, tenant) for key, tenant in conditions.items()} == {
        (True, False): sales | {("tiktok paid", "tag_not_free")},
        (True, True): sales
        | {(order, "tag_not_free") for order in ("ugc paid", "tiktok paid", "both paid")},
        (False, False): set(),
        (False, True): {("ugc paid", "tag_not_free")},
    }


def near_misses(conn: Connection, tenant_id: UUID) -> set[tuple[str, str]]:
    rows = conn.execute(
        "select order_id, reason from marts.sample_near_misses where tenant_id = %s", [tenant_id]
    ).fetchall()
    return {(row["order_id"], row["reason"]) for row in rows}


def test_finding_samples_reads_the_candidates_and_not_all_orders(
    owner: Connection, reader: Connection, make_tenant: MakeTenant, build: Callable[..., None]
) -> None:
    """20,000 orders of which 20 are samples: what is read of the table stays far below it."""
    tenant = make_tenant()
    configure(owner, tenant, ugc_tags=["ugc"], channel_patterns=["tiktok%"])
    owner.execute(
        """
        insert into shopify.orders (
            tenant_id, order_id, processed_at, currency, total_minor, subtotal_minor, channel,
            tags, source
        )
        select
            %s, n::text, '2026-06-01', 'EUR', 100, case when n %% 1000 = 0 then 0 else 100 end,
            'Online Store', case when n %% 1000 = 0 then '{ugc}'::text[] else '{}' end, 'api'
        from generate_series(1, 20000) as n
        """,
        [tenant],
    )
    owner.execute("analyze shopify.orders")
    build()
    assert len(samples(reader, tenant)) == 20
    before = rows_read(reader)
    build(command="run")
    assert rows_read(reader) - before < 1000


def rows_read(conn: Connection) -> int:
    """Rows of the landed orders that scans have read so far, in sessions that have ended."""
    conn.execute("select pg_stat_clear_snapshot()")
    row = conn.execute(
        """
        select coalesce(sum(seq_tup_read + coalesce(idx_tup_fetch, 0)), 0)::bigint as n
        from pg_stat_user_tables where schemaname = 'shopify' and relname = 'orders'
        """
    ).fetchone()
    assert row is not None
    return int(row["n"])
