"""The demo as its users have it: ``quintile demo`` in a process, with its two stores."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

# The pages of the admin UI, by the name of their pictures.
PAGES = {
    "home": "/admin",
    "segments": "/admin/segments",
    "segments-rfm": "/admin/segments?tab=rfm",
    "segments-shopify": "/admin/segments?tab=shopify",
    "segments-klaviyo": "/admin/segments?tab=klaviyo",
    "segment-rule": "/admin/segments/rule",
    "samples": "/admin/samples",
    "sample-suggestions": "/admin/samples/suggestions",
    "creators": "/admin/samples/creators",
    "promo-codes": "/admin/promo-codes",
    "promo-code": "/admin/promo-codes/VIP20",
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

_LINK = re.compile(r"^  ([\w-]+): (http://\S+)$")


@dataclass(frozen=True)
class DemoSite:
    """Where the demo is, and a link that signs in to its first store once."""

    url: str
    sign_in_link: str


@contextmanager
def running_demo() -> Iterator[DemoSite]:
    """Make the demo in a directory of its own, serve it, and remove it afterwards."""
    with tempfile.TemporaryDirectory(prefix="quintile-demo-") as home:
        port = _free_port()
        command = [sys.executable, "-m", "service", "demo"]
        environment = {
            **os.environ,
            "QUINTILE_HOME": home,
            "QUINTILE_PORT": str(port),
            "QUINTILE_DATABASE_URL": "",
            "PYTHONUNBUFFERED": "1",
        }
        process = subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        try:
            yield DemoSite(f"http://127.0.0.1:{port}", _first_link(process))
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(timeout=60)
            _stop_database(home)


def _first_link(process: subprocess.Popen[str]) -> str:
    said = []
    assert process.stdout is not None
    for line in process.stdout:
        said.append(line)
        if match := _LINK.match(line):
            return match[2]
    raise AssertionError("".join(said))


def _stop_database(home: str) -> None:
    from service.core import embedded

    embedded.stop(Path(home) / "pg")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
