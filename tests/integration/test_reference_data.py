"""RFM against published data with a published answer, through the command line.

The R package rfm scores the same orders by a rule whose counts, amounts, days and F scores must
equal ours; its R and M scores differ where it adds one to a cut value.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from service.core.config import Settings
from service.core.db import connect, connect_as_owner, create_pool
from tests.command import quintile, quintile_process
from tests.external import external_server
from tests.reference import orders_file


@pytest.fixture(scope="module")
def older_server() -> Iterator[str]:
    with external_server() as url:
        yield url


@pytest.fixture(params=["embedded 18", "older server by URL"])
def database(request: pytest.FixtureRequest, cluster, tmp_path: Path) -> Iterator[Settings]:
    """An empty database on each of the two servers."""
    if request.param == "embedded 18":
        name = cluster.create()
        yield cluster.settings(name)
        cluster.drop(name)
        return
    url = request.getfixturevalue("older_server")
    with connect(url) as conn:
        conn.execute("create database reference")
    yield Settings(
        database_url=url.replace("/postgres", "/reference"),
        home=str(tmp_path),
        secret_key="a secret for tests 0123456789abcdef",
    )


def test_the_reference_data_gives_the_published_answer(
    database: Settings, shared_dir: Path, tmp_path: Path
) -> None:
    quintile_process(database, "migrate")
    quintile(database, "tenants", "add", "reference")
    file = orders_file(shared_dir, tmp_path)
    imported = quintile(database, "orders", "import", file, "--tenant", "reference")
    assert imported.stdout == "4906 orders loaded, 0 unchanged, 0 rejected\n"
    again = quintile(database, "orders", "import", file, "--tenant", "reference")
    assert again.stdout == "0 orders loaded, 4906 unchanged, 0 rejected\n"

    quintile(database, "build", "--tenant", "reference", "--as-of", "2006-12-31")
    exported = quintile(database, "segments", "export", "--tenant", "reference").stdout
    ours = {row["customer_id"]: row for row in csv.DictReader(io.StringIO(exported))}
    published = shared_dir / "data/rfm/rfm_data_orders.w365_expected_R_rfm_0.3.0.csv"
    with published.open(newline="") as file:
        expected = {row["customer_id"]: row for row in csv.DictReader(file)}

    assert len(expected) == 652
    assert ours.keys() == expected.keys()
    for customer_id, row in expected.items():
        mine = ours[customer_id]
        assert (
            int(mine["recency_days"]),
            int(mine["frequency_count"]),
            Decimal(mine["monetary_total"]),
            int(mine["f_score"]),
        ) == (
            int(row["recency_days"]),
            int(row["transaction_count"]),
            Decimal(row["amount"]),
            int(row["frequency_score"]),
        ), customer_id

    examined = quintile(database, "doctor")
    assert "error" not in examined.stdout
    assert_isolated(database)


def assert_isolated(database: Settings) -> None:
    """A second tenant sees nothing of the first, and without a tenant no row is visible."""
    quintile(database, "tenants", "add", "other")
    with connect_as_owner(database) as owner:
        tenants = {
            row["name"]: row["tenant_id"]
            for row in owner.execute("select name, tenant_id from app.tenants").fetchall()
        }
    pool = create_pool(database)
    seen = {}
    for name, tenant_id in {**tenants, "nobody": ""}.items():
        with pool.connection() as conn, conn.transaction():
            conn.execute("select set_config('app.tenant_id', %s, true)", [str(tenant_id)])
            seen[name] = [
                conn.execute(statement).fetchone()["n"]
                for statement in (
                    "select count(*) as n from shopify.orders",
                    "select count(*) as n from marts.customer_rfm_segments",
                )
            ]
    pool.close()
    assert seen == {"reference": [4906, 652], "other": [0, 0], "nobody": [0, 0]}
