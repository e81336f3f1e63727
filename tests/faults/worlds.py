"""What flows call: a store, an account and a receiver, and equal copies of them."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from sandbox import Fault, Sandbox
from sandbox.data import StoreData
from sandbox.klaviyo import Account
from sandbox.shopify import Store
from tests.shops import small_shop

DOMAIN = "kessel-und-korn.myshopify.com"
KEY = "pk_sandbox_faults"
_STORE_STATE = ("customers", "_orders", "segments", "discounts", "metafields")
_ACCOUNT_STATE = (
    *("profiles", "lists", "flows", "events"),
    *("_by_identifier", "_unimportable", "_serial"),
)


@cache
def _shop() -> StoreData:
    return small_shop()


def new_store() -> Store:
    return Store(deepcopy(_shop()))


def new_account() -> Account:
    return Account(
        KEY,
        name="Kessel",
        currency="EUR",
        timezone="UTC",
        prefix="KF",
        rate_limit_scale=1000,
        job_seconds=0,
    )


class Receiver:
    """Receives outgoing webhooks; the next ones are answered as failures if it is told so."""

    def __init__(self) -> None:
        self.accepted: list[dict[str, Any]] = []
        self._failures: list[int] = []
        self.refused = 0
        self._lock = threading.Lock()

    def fail(self, *statuses: int) -> None:
        """Answer the next messages with these statuses; 0 takes one and loses the answer."""
        self._failures += statuses

    def take(self, body: bytes) -> int:
        """Take a message; the status to answer with, or 0 for none."""
        with self._lock:
            status = self._failures.pop(0) if self._failures else 204
            if status in (0, 204):
                self.accepted.append(json.loads(body))
            if status != 204:
                self.refused += 1
            return status

    def once(self) -> list[dict[str, Any]]:
        """What was accepted, without repetitions, in the order of the first arrivals."""
        return list({body["id"]: body for body in reversed(self.accepted)}.values())[::-1]


@dataclass
class World:
    """The other servers of a flow, with their state."""

    store: Store = field(default_factory=new_store)
    account: Account = field(default_factory=new_account)
    receiver: Receiver = field(default_factory=Receiver)

    def copied(self) -> World:
        """Another one in the same state, to which nothing was said."""
        store, account = Store(deepcopy(_shop())), new_account()
        for made, known, names in (
            (store, self.store, _STORE_STATE),
            (account, self.account, _ACCOUNT_STATE),
        ):
            for name in names:
                setattr(made, name, deepcopy(getattr(known, name)))
        return World(store, account)

    @contextmanager
    def served(self) -> Iterator[Served]:
        receiver = _serve(self.receiver)
        try:
            with Sandbox([self.store], [self.account]) as sandbox:
                yield Served(self, sandbox, receiver.server_address[:2])
        finally:
            receiver.shutdown()
            receiver.server_close()


@dataclass(frozen=True)
class Served:
    """A world whose servers run."""

    world: World
    sandbox: Sandbox
    receiver: tuple[str, int]

    def storm(self, requests: int) -> None:
        """Answer this many of the next requests in all the wrong ways."""
        faults = [_WRONG[number % len(_WRONG)] for number in range(requests)]
        self.sandbox.fail_shopify(*faults)
        self.sandbox.fail_klaviyo(*faults)
        self.world.receiver.fail(*(_WRONG_STATUSES[n % 5] for n in range(requests)))

    def calm(self) -> None:
        """End the storm."""
        self.sandbox.reset_faults()
        self.world.receiver._failures.clear()

    def failures(self) -> int:
        """How many requests were answered wrongly, lost or broken off."""
        requests = [*self.sandbox.shopify_requests(), *self.sandbox.klaviyo_requests()]
        wrong = sum(request.status == 0 or request.status in _STORM for request in requests)
        return wrong + self.world.receiver.refused


# Not answered with 503: a receiver that says so is left alone for a minute.
_STORM = (429, 500, 502, 503)
_WRONG_STATUSES = (500, 0, 502, 429, 504)
_WRONG = (
    Fault(status=500),
    Fault(lose=True),
    Fault(status=502, html=True),
    Fault(status=429, retry_after=0),
    Fault(truncate=True),
    Fault(drop=True),
    Fault(status=503),
)


def _serve(receiver: Receiver) -> ThreadingHTTPServer:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            status = receiver.take(body)
            if status == 0:
                self.close_connection = True
                return
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Write nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    return server
