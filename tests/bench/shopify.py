"""What a backfill costs: a bulk operation's file over loopback HTTP, beside a bare COPY.

The file is generated: orders with one, two or four lines, which follow their order as Shopify
writes them. A separate process downloads and loads it as a sync does, and reports its peak memory.
Then the loaded rows are copied, by a plain COPY from a file, into an empty table with the same
columns and indexes. Each size is measured in its own database.
"""

from __future__ import annotations

import functools
import http.server
import json
import multiprocessing
import multiprocessing.connection
import resource
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from uuid import UUID

from service.core import embedded
from service.core.config import Settings, load_settings
from service.core.db import admin_url, connect, connect_as_owner, open_pool, tenant_transaction
from service.migrate import migrate
from service.shopify.backfill import load_blocks
from service.shopify.bulk import Result
from service.shopify.jsonl import read_blocks
from service.shopify.resources import ORDERS
from service.tenants.tenants import add_tenant
from tests.bench import sql
from tests.command import environment_of

LARGEST = 1_000_000
_FIRST_ORDER = datetime(2024, 7, 1, tzinfo=UTC)
_PRICES = [f"{cents / 100:.2f}" for cents in range(990, 9990, 50)]


def bench_shopify(size: int) -> None:
    """Print what a backfill of this many orders takes, and of a tenth; at most a million."""
    print("backfill from Shopify")
    print(f"{'orders':>12}{'seconds':>9}{'bare COPY':>11}{'of its speed':>14}{'peak MiB':>10}")
    largest = min(size, LARGEST)
    for orders in (largest // 10, largest):
        seconds, bare, peak = _measure(orders)
        print(f"{orders:>12,}{seconds:>9.2f}{bare:>11.2f}{bare / seconds:>14.0%}{peak:>10.0f}")


def _measure(orders: int) -> tuple[float, float, float]:
    """Seconds of the backfill and of the bare COPY, and the backfill's peak memory in MiB."""
    home = Path(tempfile.mkdtemp(prefix="quintile-bench-"))
    settings = Settings(home=str(home), secret_key=secrets.token_hex(32))
    try:
        migrate(settings)
        with connect_as_owner(settings) as owner:
            tenant_id = add_tenant(owner, "bench")
        _write_file(home / "orders.jsonl", orders)
        loaded = _load_in_a_process(settings, home, tenant_id)
        return loaded["seconds"], _bare_copy(settings, home), loaded["peak_mib"]
    finally:
        embedded.stop(settings.home_dir / "pg")
        shutil.rmtree(home)


def _load_in_a_process(settings: Settings, home: Path, tenant_id: UUID) -> dict[str, float]:
    ready, tell = multiprocessing.Pipe(duplex=False)
    server = multiprocessing.get_context("fork").Process(target=_serve, args=(home, tell))
    server.start()
    try:
        url = f"http://127.0.0.1:{ready.recv()}/orders.jsonl"
        done = subprocess.run(
            [sys.executable, "-m", "tests.bench.shopify", str(tenant_id), url],
            env={**environment_of(settings), "QUINTILE_DATABASE_URL": admin_url(settings)},
            capture_output=True,
            text=True,
            check=False,
        )
    finally:
        server.terminate()
        server.join()
    if done.returncode:
        sys.exit(done.stderr)
    found: dict[str, float] = json.loads(done.stdout)
    return found


class _Handler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_args: object) -> None:
        """Write nothing."""


def _serve(home: Path, tell: multiprocessing.connection.Connection) -> None:
    handler = functools.partial(_Handler, directory=str(home))
    with http.server.HTTPServer(("127.0.0.1", 0), handler) as server:
        tell.send(server.server_port)
        server.serve_forever()


class _Unwatched:
    def phase(self, name: str, total: int | None = None) -> None:
        """Ignored."""

    def advance(self, done: int = 1) -> None:
        """Ignored."""

    def count(self, **counts: int) -> None:
        """Ignored."""


def _load(tenant_id: UUID, url: str) -> None:
    """Load the file as a sync does, and print the seconds and the peak memory as JSON."""
    now = datetime.now(UTC)
    result = Result(url, None, 0, is_partial=False, began_at=now, noted_at=now)
    with open_pool(load_settings()) as pool:
        began = time.perf_counter()
        with tenant_transaction(pool, tenant_id) as conn:
            load_blocks(
                conn, tenant_id, ORDERS, read_blocks(url, None, own=url), result, _Unwatched()
            )
        seconds = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"seconds": seconds, "peak_mib": peak}))


def _bare_copy(settings: Settings, home: Path) -> float:
    """Seconds to copy the loaded rows into an empty table with the same columns and indexes."""
    path = home / "orders.copy"
    with connect(admin_url(settings)) as conn:
        with path.open("wb") as file, conn.cursor().copy(sql("copy_out")) as copy:
            for data in copy:
                file.write(data)
        conn.execute(sql("create_bare"))
        began = time.perf_counter()
        with path.open("rb") as file, conn.cursor().copy(sql("copy_in")) as copy:
            while data := file.read(1 << 20):
                copy.write(data)
        return time.perf_counter() - began


def _write_file(path: Path, orders: int) -> None:
    """Write what a bulk operation returns for this many orders over two years."""
    rng = Random(1)  # noqa: S311 - repeatable on purpose
    step = timedelta(days=730) / orders
    lines = 0
    with path.open("w", encoding="utf-8") as file:
        for number in range(orders):
            gid = f"gid://shopify/Order/{5_400_000_000_000 + number * 32_768}"
            nodes = [_order(rng, gid, number, orders, _FIRST_ORDER + number * step)]
            for _ in range(rng.choices((1, 2, 4), (60, 25, 15))[0]):
                lines += 1
                nodes.append(_line(rng, gid, lines))
            texts = [json.dumps(node, separators=(",", ":")) for node in nodes]
            file.writelines(text.replace("/", "\\/") + "\n" for text in texts)


def _money(amount: str) -> dict[str, dict[str, str]]:
    return {"shopMoney": {"amount": amount}}


def _money_in_usd(amount: str) -> dict[str, dict[str, str]]:
    return {"shopMoney": {"amount": amount, "currencyCode": "USD"}}


def _order(rng: Random, gid: str, number: int, orders: int, at: datetime) -> dict[str, object]:
    time_text = f"{at:%Y-%m-%dT%H:%M:%SZ}"
    later = f"{at + timedelta(days=3):%Y-%m-%dT%H:%M:%SZ}"
    customer = rng.randrange(max(orders // 3, 1))
    price = rng.choice(_PRICES)
    return {
        "id": gid,
        "name": f"#{1001 + number}",
        "email": None,
        "note": "Please ring twice" if number % 40 == 0 else None,
        "tags": ["gift"] if number % 20 == 0 else [],
        "test": False,
        "processedAt": time_text,
        "updatedAt": later,
        "cancelledAt": None,
        "displayFinancialStatus": "PAID",
        "displayFulfillmentStatus": "FULFILLED",
        "sourceName": "web",
        "attribution": {"displayName": "Online Store"},
        "app": {"name": "Online Store"},
        "publication": {"name": "Online Store"},
        "customer": {
            "id": f"gid://shopify/Customer/{7_000_000_000_000 + customer * 32}",
            "displayName": f"Jordan Example {customer}",
            "defaultEmailAddress": {"emailAddress": f"jordan{customer}@mail.example.com"},
        },
        "totalPriceSet": _money_in_usd(price),
        "subtotalPriceSet": _money(price),
        "totalRefundedSet": _money("0.0"),
        "currentTotalPriceSet": _money(price),
        "currentSubtotalPriceSet": _money(price),
        "fulfillments": [{"status": "SUCCESS", "createdAt": time_text, "deliveredAt": later}],
    }


def _line(rng: Random, gid: str, number: int) -> dict[str, object]:
    product = rng.randrange(len(_PRICES))
    # One line in five has its own discount.
    price = _PRICES[product] if rng.random() < 0.8 else f"{rng.randrange(500, 900) / 100:.2f}"
    return {
        "id": f"gid://shopify/LineItem/{9_000_000_000_000 + number * 32}",
        "title": f"Trail Bottle No. {product}",
        "variantTitle": "Blue",
        "sku": f"TB-{product:03d}-01",
        "quantity": 1,
        "originalUnitPriceSet": _money(_PRICES[product]),
        "discountedTotalSet": _money_in_usd(price),
        "__parentId": gid,
    }


if __name__ == "__main__":
    _load(UUID(sys.argv[1]), sys.argv[2])
