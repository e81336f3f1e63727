"""The demo as its users have it: ``quintile demo`` in a process, with its two stores."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from service.core import embedded

# The pages of the admin UI, by the name of their pictures.
PAGES = {
    "home": "/admin",
    "segments": "/admin/segments",
    "segments-rfm": "/admin/segments?tab=rfm",
    "segments-shopify": "/admin/segments?tab=shopify",
    "segments-klaviyo": "/admin/segments?tab=klaviyo",
    "segment": "/admin/segments/rfm:champions",
    "segment-changes": "/admin/segments/rfm:champions?tab=changes",
    "segment-rule": "/admin/segments/rule",
    "rfm-settings": "/admin/segments/settings",
    "customers": "/admin/customers",
    "samples": "/admin/samples",
    "sample-suggestions": "/admin/samples/suggestions",
    "sample-decisions": "/admin/samples/suggestions?tab=decided",
    "creators": "/admin/samples/creators",
    "promo-codes": "/admin/promo-codes",
    "promo-code": "/admin/promo-codes/VIP20",
    "promo-code-changes": "/admin/promo-codes/VIP20/changes",
    "klaviyo": "/admin/klaviyo",
    "klaviyo-add": "/admin/klaviyo?add=1",
    "activity": "/admin/activity",
    "connections": "/admin/connections",
    "settings": "/admin/settings",
    "settings-tokens": "/admin/settings/tokens",
    "settings-people": "/admin/settings/people",
    "settings-schedules": "/admin/settings/schedules",
    "settings-webhooks": "/admin/settings/webhooks",
    "settings-audit-log": "/admin/settings/audit-log",
    "settings-danger": "/admin/settings/danger",
}

_COMMAND = (sys.executable, "-m", "service")
_STORE = "northlight-goods"
_SERVES = "Stop with Ctrl-C"


@dataclass(frozen=True)
class DemoSite:
    """Where the demo is served, and the variables of its environment."""

    url: str
    environment: dict[str, str]

    def sign_in_link(self) -> str:
        """A new link that signs in to the larger store, once."""
        command = [*_COMMAND, "tenants", "sign-in-link", _STORE, "--person", "Ada Byron"]
        return subprocess.run(
            command, env=self.environment, check=True, capture_output=True, text=True
        ).stdout.strip()


@contextmanager
def running_demo() -> Iterator[DemoSite]:
    """Make the demo in a directory of its own, serve it, and remove it afterwards."""
    with tempfile.TemporaryDirectory(prefix="quintile-demo-") as home:
        port = _free_port()
        environment = {
            **os.environ,
            "QUINTILE_HOME": home,
            "QUINTILE_PORT": str(port),
            "QUINTILE_DATABASE_URL": "",
        }
        process = subprocess.Popen(
            [*_COMMAND, "demo"], env=environment, stderr=subprocess.PIPE, text=True
        )
        try:
            _wait_until_made(process)
            site = DemoSite(f"http://127.0.0.1:{port}", environment)
            _wait_until_ready(site)
            yield site
        finally:
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=60)
            embedded.stop(Path(home) / "pg")


def _wait_until_made(process: subprocess.Popen[str]) -> None:
    said = []
    assert process.stderr is not None
    for line in process.stderr:
        said.append(line)
        if _SERVES in line:
            return
    raise AssertionError("".join(said))


def _wait_until_ready(site: DemoSite) -> None:
    for _ in range(100):
        try:
            if httpx.get(f"{site.url}/readyz").is_success:
                return
        except httpx.ConnectError:
            pass
        time.sleep(0.2)
    raise AssertionError("The web service did not come up.")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
