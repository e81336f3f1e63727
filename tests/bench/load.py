"""What the web service does under load: ``make bench PART=load``.

Orders of 50 tenants, built, and the service as it is served by default: one process. Clients keep
their connections, send the next request when they have the answer, and wait as long as
``Retry-After`` says when they are refused. They share the machine with the service, so besides the
rate there is the processor time of a request: the web process's and PostgreSQL's. Those hardly
depend on what else runs. Fails if a connection was cut or an answer is neither 200 nor 503 with
``Retry-After``.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import statistics
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from service.core import embedded
from service.core.config import Settings
from service.core.db import admin_url, connect, find_tenant
from tests.bench import AS_OF, TENANTS, dbt, make_orders
from tests.served import Served, served
from tests.web import token_for

SECONDS = 8
ADMIN = "/api/admin"
LOADS = [
    (f"{ADMIN}/me", 1),
    (f"{ADMIN}/me", 32),
    (f"{ADMIN}/samples", 32),
    (f"{ADMIN}/customers", 32),
    (f"{ADMIN}/segments/rfm/customers", 32),
    (f"{ADMIN}/segments", 32),
    (f"{ADMIN}/me", 200),
    (f"{ADMIN}/customers", 200),
]


@dataclass
class Answers:
    """What the clients got: milliseconds of each answer with 200, and how many were refused."""

    times: list[float] = field(default_factory=list)
    refused: int = 0


def bench_load(size: int) -> None:
    """Print rates and times of requests under load, for so many orders."""
    home = Path(tempfile.mkdtemp(prefix="quintile-bench-"))
    settings = Settings(home=str(home), secret_key=secrets.token_hex(32), rate_limit_per_minute=0)
    try:
        make_orders(settings, size)
        resources = ("--resource-type", "model", "--resource-type", "seed")
        dbt(settings, "build", *resources, as_of=AS_OF, tenants=[])
        with connect(admin_url(settings)) as admin:
            tenant = find_tenant(admin, "tenant_01")
            admin.execute("vacuum analyze")
        token = token_for(settings, tenant)
        postgres = int((home / "pg" / "postmaster.pid").read_text().split()[0])
        with served(settings) as service:
            _bench(service, token, postgres)
    finally:
        embedded.stop(settings.home_dir / "pg")
        shutil.rmtree(home)


def _bench(service: Served, token: str, postgres: int) -> None:
    print(f"largest of {TENANTS} tenants, one web process, {SECONDS} s each, load average 1 min")
    print(
        f"{'request':<32}{'clients':>8}{'per s':>8}{'median ms':>11}{'p95 ms':>8}"
        f"{'refused':>9}{'web CPU ms':>12}{'db CPU ms':>11}{'load':>6}"
    )
    for path, clients in LOADS:
        web_before, db_before = _cpu(service.process.pid, postgres)
        began = time.perf_counter()
        answers = asyncio.run(_ask(service, token, path, clients))
        seconds = time.perf_counter() - began
        web, db = _cpu(service.process.pid, postgres)
        count = len(answers.times)
        print(
            f"{path.removeprefix(ADMIN + '/'):<32}{clients:>8}{count / seconds:>8.0f}"
            f"{statistics.median(answers.times):>11.1f}"
            f"{statistics.quantiles(answers.times, n=20)[-1]:>8.1f}{answers.refused:>9}"
            f"{(web - web_before) / count * 1000:>12.2f}{(db - db_before) / count * 1000:>11.2f}"
            f"{os.getloadavg()[0]:>6.1f}",
            flush=True,
        )


async def _ask(service: Served, token: str, path: str, clients: int) -> Answers:
    answers = Answers()
    until = time.perf_counter() + SECONDS
    host, _, port = service.url.removeprefix("http://").partition(":")
    request = f"GET {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\n\r\n"

    async def client() -> None:
        # An HTTP client library would take more of the machine than the service.
        reader, writer = await asyncio.open_connection(host, int(port))
        while time.perf_counter() < until:
            began = time.perf_counter()
            writer.write(request.encode())
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            status, *lines = head.lower().splitlines()
            headers = dict(line.split(": ", 1) for line in lines if line)
            await reader.readexactly(int(headers["content-length"]))
            if " 200 " in status:
                answers.times.append((time.perf_counter() - began) * 1000)
            elif " 503 " in status:
                answers.refused += 1
                await asyncio.sleep(int(headers["retry-after"]))
            else:
                raise AssertionError(head)
        writer.close()

    await asyncio.gather(*(client() for _ in range(clients)))
    return answers


def _cpu(web: int, postgres: int) -> tuple[float, float]:
    """Processor seconds of the web service's session and of PostgreSQL's processes."""
    totals = {"web": 0, "postgres": 0}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            # After the name in parentheses: state, parent, group, session …, times at 11 and 12.
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == web:
            totals["web"] += int(fields[11]) + int(fields[12])
        elif int(fields[1]) == postgres:
            totals["postgres"] += int(fields[11]) + int(fields[12])
    ticks = os.sysconf("SC_CLK_TCK")
    return totals["web"] / ticks, totals["postgres"] / ticks
