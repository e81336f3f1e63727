"""The main job from end to end, by the commands a user types."""

from __future__ import annotations

import csv
import io
import json
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.core import embedded
from service.core.config import Settings
from service.core.db import app_url, connect, connect_as_owner, transform_url
from tests.command import environment_of, quintile, quintile_process
from tests.conftest import PROJECT_DIR
from tests.wheel import build_wheel, install

SIX = {"champions", "loyal", "new", "at_risk", "hibernating", "potential"}


@pytest.fixture
def empty_home(tmp_path: Path) -> Iterator[Settings]:
    """Nothing but a directory: the command brings its own database."""
    settings = Settings(home=str(tmp_path / "home"))
    yield settings
    embedded.stop(settings.home_dir / "pg")


def test_the_demo_runs_from_nothing_and_again(empty_home: Settings, tmp_path: Path) -> None:
    """First from a wheel, in a directory that holds nothing, and then from the checkout."""
    wheel = build_wheel(PROJECT_DIR, tmp_path / "dist")
    first = _demo_of_wheel(empty_home, install(wheel, tmp_path / "venv"))
    larger, smaller = first["tenants"]
    assert larger["orders"] >= 12_000
    assert larger["customers"] >= 3_000
    assert smaller["orders"] < larger["orders"]
    for tenant in first["tenants"]:
        assert set(tenant) == {
            "name",
            "shop",
            "orders",
            "customers",
            "segments",
            "samples",
            "klaviyo",
        }
        assert tenant["shop"].endswith(".myshopify.com")
        assert set(tenant["segments"]) == SIX
        assert min(tenant["segments"].values()) > 0
        assert min(tenant["samples"]["ugc"], tenant["samples"]["tiktok"]) > 0
        assert tenant["klaviyo"]["list_members"] == _addressable_champions(
            empty_home, tenant["name"]
        )
        assert tenant["klaviyo"]["calls"] > 0
    assert first["seconds"] > 0
    _assert_samples_to_look_at(empty_home)
    checked = quintile(empty_home, "doctor").stdout
    assert f"{larger['name']}: last build" in checked
    assert "no build yet" not in checked

    # The second run finds the same stores and the same answers.
    second = _demo(empty_home)
    assert second["tenants"] == first["tenants"]

    _assert_serves_until_told_to_end(empty_home)


def _assert_samples_to_look_at(settings: Settings) -> None:
    """Each store has linked samples, suggestions of every reason, and samples of every status."""
    with connect(transform_url(settings)) as conn:
        found = conn.execute(
            """
            select
                array(
                    select distinct s.status from marts.sample_orders as s
                    where s.tenant_id = t.tenant_id
                ) as statuses,
                array(
                    select distinct n.reason from marts.sample_near_misses as n
                    where n.tenant_id = t.tenant_id
                ) as reasons,
                exists (
                    select from marts.sample_orders as s
                    where s.tenant_id = t.tenant_id and s.creator_id is not null
                ) as has_linked
            from app.tenants as t
            """
        ).fetchall()
    for row in found:
        assert set(row["statuses"]) == {"pending", "partial", "fulfilled", "cancelled"}
        assert set(row["reasons"]) == {
            "tag_not_free",
            "channel_not_free",
            "tag_looks_like_sample",
        }
        assert row["has_linked"]


def _assert_serves_until_told_to_end(settings: Settings) -> None:
    """Without --once it serves, prints links that sign in, and leaves nothing behind."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        settings = replace(settings, port=probe.getsockname()[1])
    base = f"http://127.0.0.1:{settings.port}"
    with subprocess.Popen(
        [sys.executable, "-m", "service", "demo"],
        cwd=PROJECT_DIR,
        env=environment_of(settings),
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        links = []
        for line in process.stderr:
            links += re.findall(rf"{base}/admin/sign-in#code=(\S+)", line)
            if "Stop with Ctrl-C" in line:
                break
        assert len(links) == 2
        # The first answers wait for imports; on a busy machine they take more than five seconds.
        with httpx.Client(base_url=base, timeout=60) as client:
            _wait_until_served(client)
            signed_in = client.post(
                "/admin/sign-in/code",
                json={"code": links[0]},
                headers={"X-Quintile-Request": "1", "Origin": base},
            )
            assert signed_in.is_success, signed_in.text
            summary = client.get("/api/admin/segments/rfm").json()
            assert {row["segment"] for row in summary["data"]} == SIX
            # There are trends to look at on the first day.
            history = client.get("/api/admin/segments/rfm/history").json()
            assert len(history["data"]) >= 27
            assert client.get("/api/admin/segments/rfm/movements").json()["data"]
        process.terminate()
        process.stderr.read()
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{base}/healthz")


def _wait_until_served(client: httpx.Client) -> None:
    for _ in range(100):
        try:
            if client.get("/readyz").is_success:
                return
        except httpx.ConnectError:
            pass
        time.sleep(0.2)
    pytest.fail("the web service did not come up")


def _demo(settings: Settings) -> dict[str, Any]:
    last = quintile(settings, "demo", "--once").stdout.splitlines()[-1]
    outcome: dict[str, Any] = json.loads(last)
    return outcome


def _demo_of_wheel(settings: Settings, python: Path) -> dict[str, Any]:
    done = subprocess.run(
        [python, "-m", "service", "demo", "--once"],
        cwd=settings.home_dir.parent,
        env=environment_of(settings),
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    outcome: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return outcome


def _addressable_champions(settings: Settings, name: str) -> int:
    """Counted by this test's own rule: an address, and not a relay's."""
    with connect_as_owner(settings) as owner:
        tenant = owner.execute(
            "select tenant_id from app.tenants where name = %s", [name]
        ).fetchone()
    assert tenant is not None
    with connect(app_url(settings)) as conn, conn.transaction():
        conn.execute("select set_config('app.tenant_id', %s, true)", [str(tenant["tenant_id"])])
        rows = conn.execute(
            "select email from marts.customer_rfm_segments where segment = 'champions'"
        ).fetchall()
    relays = ("@scs.tiktokw.us", "@scs3.tiktok.com", "@chat-seller-us.tiktok.com")
    return len(
        {row["email"].lower() for row in rows if row["email"] and not row["email"].endswith(relays)}
    )


@pytest.fixture
def served_sandbox() -> Iterator[dict[str, Any]]:
    """``quintile sandbox`` in a process of its own; its first line says how to reach it."""
    with subprocess.Popen(
        [sys.executable, "-m", "service", "sandbox", "--seed", "1", "--anchor", "2026-07-01"],
        cwd=PROJECT_DIR,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())
        process.terminate()
    assert process.returncode in (0, -15)


def test_a_user_s_first_day(settings: Settings, served_sandbox: dict[str, Any]) -> None:
    """Connect, sync, build, map a list, push, export, ask the doctor."""
    store = served_sandbox["shopify"]["stores"][1]
    account = served_sandbox["klaviyo"]["accounts"][1]
    list_id = next(item["id"] for item in account["lists"] if item["name"] == "Champions")
    settings = replace(
        settings,
        shopify_url=served_sandbox["shopify"]["url"],
        klaviyo_url=served_sandbox["klaviyo"]["url"],
    )

    quintile(settings, "tenants", "add", "brand", "--shop", store["shop"])
    refused = quintile(
        settings, "tenants", "connect-shopify", "brand", stdin="shpat_wrong_token_xxx", expect=1
    )
    assert "Traceback" not in refused.stderr
    assert "shpat_wrong_token_xxx" not in refused.stderr
    quintile(settings, "tenants", "connect-shopify", "brand", stdin=store["token"])
    quintile(settings, "tenants", "connect-klaviyo", "brand", stdin=account["key"])
    assert "EUR" in quintile(settings, "tenants", "list").stdout

    synced = quintile(settings, "sync", "shopify", "--tenant", "brand")
    assert "orders" in synced.stderr
    again = quintile(settings, "sync", "shopify", "--tenant", "brand")
    assert "0 written" in again.stderr
    quintile(settings, "build", "--tenant", "brand", "--as-of", "2026-07-01")

    unknown = quintile(
        settings, "tenants", "map-list", "brand", "--segment", "rfm:vip", "--list", list_id,
        expect=1,
    )  # fmt: skip
    assert "rfm:champions" in unknown.stderr
    quintile_process(
        settings, "tenants", "map-list", "brand", "--segment", "rfm:champions", "--list", list_id
    )
    pushed = quintile(settings, "sync", "klaviyo", "--tenant", "brand")
    exported = quintile(settings, "segments", "export", "--tenant", "brand").stdout
    rows = list(csv.DictReader(io.StringIO(exported)))
    champions = [row for row in rows if row["segment"] == "champions"]
    assert {row["segment"] for row in rows} == SIX
    assert f"{len(champions)} added" in pushed.stderr or "skipped" in pushed.stderr

    samples = quintile_process(settings, "samples", "export", "--tenant", "brand").stdout
    sample_rows = list(csv.DictReader(io.StringIO(samples)))
    assert {row["status"] for row in sample_rows} >= {"fulfilled", "pending"}
    assert any(row["is_ugc"] == "true" for row in sample_rows)
    assert any(row["is_tiktok"] == "true" and row["matched_patterns"] for row in sample_rows)

    # The list over there holds them, and nothing of the credentials is in the output.
    response = httpx.get(
        f"{settings.klaviyo_url}/api/lists/{list_id}",
        params={"additional-fields[list]": "profile_count"},
        headers={
            "Authorization": f"Klaviyo-API-Key {account['key']}",
            "revision": settings.klaviyo_revision,
        },
    )
    size = response.json()["data"]["attributes"]["profile_count"]
    assert f"{size} added" in pushed.stderr
    assert 0 < size <= len(champions)
    examined = quintile(settings, "doctor")
    assert "error" not in examined.stdout
    assert "paused" not in pushed.stderr + examined.stdout
    for output in (synced, pushed, examined):
        for secret in (store["token"], account["key"]):
            assert secret not in output.stdout + output.stderr
