"""What requests of the API take: ``make bench PART=api``.

Orders of 50 tenants, built; every figure is of the largest tenant, which has more than a fifth of
all customers. Requests go through the application without HTTP or network, one after the other, so
a figure is the time that Python and the database work for one request: the median and the 95th
percentile of 40, after one that is not counted. ``page 1000`` follows a cursor to a row that far
down.
"""

from __future__ import annotations

import secrets
import shutil
import statistics
import tempfile
import time
from pathlib import Path
from uuid import UUID

from flask.testing import FlaskClient

from service.core import embedded
from service.core.config import Settings
from service.core.db import Connection, admin_url, connect, find_tenant, one, transform_url
from tests.bench import AS_OF, TENANTS, dbt, execute, make_orders
from tests.web import client_of, running_app

REQUESTS = 40
PAGES = 1000
MEMBERS = "/api/admin/segments/rfm:hibernating/customers"


def bench_api(size: int) -> None:
    """Print the time of each request, for so many orders."""
    home = Path(tempfile.mkdtemp(prefix="quintile-bench-"))
    settings = Settings(
        home=str(home),
        secret_key=secrets.token_hex(32),
        rate_limit_per_minute=1_000_000,
        log_level="WARNING",
    )
    try:
        make_orders(settings, size)
        dbt(
            settings,
            "build",
            "--resource-type",
            "model",
            "--resource-type",
            "seed",
            as_of=AS_OF,
            tenants=[],
        )
        with connect(admin_url(settings)) as admin:
            tenant = find_tenant(admin, "tenant_01")
            execute(admin, "make_segment_members", tenant_id=tenant)
            execute(admin, "make_promo_codes", tenant_id=tenant)
            admin.execute("vacuum analyze")
        _bench(settings, tenant)
    finally:
        embedded.stop(settings.home_dir / "pg")
        shutil.rmtree(home)


def _bench(settings: Settings, tenant: UUID) -> None:
    with connect(transform_url(settings)) as conn:
        counted = _count(conn, tenant)
    print(f"largest of {TENANTS} tenants: " + ", ".join(f"{n:,} {of}" for of, n in counted.items()))
    with running_app(settings) as app:
        client = client_of(app, settings, tenant)
        customer = client.get(f"{MEMBERS}?limit=1").get_json()["data"][0]
        name = customer["email"].partition("@")[0]
        print(f"{'request':<64}{'median ms':>10}{'p95 ms':>8}")
        for label, path in {
            "me": "/api/admin/me",
            "segments": "/api/admin/segments",
            "segments/<id>": "/api/admin/segments/rfm:champions",
            "segments/<id>/changes": "/api/admin/segments/rfm:champions/changes",
            "segments/<id>/overlap": "/api/admin/segments/rfm:champions/overlap?with=shopify:1",
            "segments/<id>/customers": MEMBERS,
            "segments/<id>/customers, page 1000": _deep_page(client),
            "segments/<id>/customers, by name": f"{MEMBERS}?sort=name",
            "segments/<id>/customers, search": f"{MEMBERS}?q={name}",
            "segments/<Shopify id>/customers": "/api/admin/segments/shopify:1/customers",
            "segments/targets": "/api/admin/segments/targets",
            "segments/rfm": "/api/admin/segments/rfm",
            "segments/rfm/customers": "/api/admin/segments/rfm/customers",
            "segments/rfm/customers, one segment": "/api/admin/segments/rfm/customers"
            "?segment=hibernating",
            "segments/rfm/thresholds": "/api/admin/segments/rfm/thresholds",
            "segments/rfm/history": "/api/admin/segments/rfm/history",
            "customers": "/api/admin/customers",
            "customers/<id>": f"/api/admin/customers/{customer['customer_id']}",
            "customers/<id>/segments": f"/api/admin/customers/{customer['customer_id']}/segments",
            "customers/<id>/orders": f"/api/admin/customers/{customer['customer_id']}/orders",
            "promo-codes": "/api/admin/promo-codes",
            "integrations/shopify/metafields": "/api/admin/integrations/shopify/metafields",
            "samples": "/api/admin/samples",
            "samples, search": "/api/admin/samples?q=c1",
            "samples/stats": "/api/admin/samples/stats",
        }.items():
            times = [_time(client, path) for _ in range(REQUESTS + 1)][1:]
            p95 = statistics.quantiles(times, n=20)[-1]
            print(f"{label:<64}{statistics.median(times):>10.1f}{p95:>8.1f}", flush=True)


def _count(conn: Connection, tenant: UUID) -> dict[str, int]:
    row = conn.execute(
        "select count(*) as customers, count(segment) as scored,"
        " (select count(*) from marts.sample_orders as s where s.tenant_id = f.tenant_id)"
        " as samples from marts.customer_facts as f where tenant_id = %s group by tenant_id",
        [tenant],
    ).fetchone()
    return {name: int(number) for name, number in one(row).items()}


def _deep_page(client: FlaskClient) -> str:
    """The page that follows so many of 50 rows, or the last full one of a smaller segment."""
    cursor, path = None, MEMBERS
    for _ in range(PAGES * 50 // 200):
        answer = client.get(f"{path}?limit=200" + (f"&cursor={cursor}" if cursor else ""))
        following = answer.get_json()["next_cursor"]
        if following is None:
            break
        cursor = following
    return f"{path}?cursor={cursor}"


def _time(client: FlaskClient, path: str) -> float:
    began = time.perf_counter()
    response = client.get(path)
    took = time.perf_counter() - began
    assert response.status_code == 200, f"{path}: {response.text}"
    return took * 1000
