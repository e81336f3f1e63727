"""Running the two sandbox servers: in this process for tests and the demo, or on their own."""

from __future__ import annotations

import json
import signal
import socket
import threading
from datetime import UTC, date, datetime
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any, Self

from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

from service.core.errors import QuintileError

from . import klaviyo, shopify
from .data import anchor_at, generate_stores
from .faults import Fault
from .klaviyo import Account
from .shopify import Store
from .wsgi import LoggedRequest, instrument

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

HOST = "127.0.0.1"


class SandboxPortTakenError(QuintileError):
    """The port asked for a sandbox server is in use."""

    def __init__(self, port: int) -> None:
        super().__init__(
            f"Port {port} on {HOST} is taken.",
            advice="Stop what listens there, or choose another; 0 takes a free one.",
        )
        self.port = port


class Sandbox:
    """Two running servers. A context manager: leaving it stops them.

    `tokens` issues the Shopify server's tokens that expire.
    """

    def __init__(
        self,
        stores: list[Store],
        accounts: list[Account],
        *,
        shopify_port: int = 0,
        klaviyo_port: int = 0,
    ) -> None:
        """Serve `stores` and `accounts` at once; port 0 means any free one.

        Raises SandboxPortTakenError.
        """
        self.stores = {store.data.domain: store for store in stores}
        self.accounts = {account.key: account for account in accounts}
        self.tokens = shopify.TokenDesk(stores)
        shopify_app = shopify.create_shopify_app(stores, self.tokens)
        klaviyo_app = klaviyo.create_klaviyo_app(accounts)
        self._shopify_faults, self._shopify_log = instrument(
            shopify_app, shopify.error_body, "application/json"
        )
        self._klaviyo_faults, self._klaviyo_log = instrument(
            klaviyo_app, klaviyo.error_body, klaviyo.CONTENT_TYPE
        )
        self._shopify_server = _Server(shopify_app, shopify_port)
        try:
            self._klaviyo_server = _Server(klaviyo_app, klaviyo_port)
        except SandboxPortTakenError:
            self._shopify_server.stop()
            raise
        self.shopify_url = self._shopify_server.url
        self.klaviyo_url = self._klaviyo_server.url

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Stop both servers. Harmless when they are stopped already."""
        self._shopify_server.stop()
        self._klaviyo_server.stop()

    def describe(self) -> dict[str, Any]:
        """How to reach the sandbox: what `quintile sandbox` prints as its first line."""
        return {
            "shopify": {
                "url": self.shopify_url,
                "stores": [
                    {"shop": store.data.domain, "token": store.data.token}
                    for store in self.stores.values()
                ],
            },
            "klaviyo": {
                "url": self.klaviyo_url,
                "accounts": [
                    {"key": account.key, "lists": account.list_names()}
                    for account in self.accounts.values()
                ],
            },
        }

    def fail_shopify(self, *faults: Fault) -> None:
        """Plan failures of the Shopify server."""
        self._shopify_faults.add(*faults)

    def fail_klaviyo(self, *faults: Fault) -> None:
        """Plan failures of the Klaviyo server."""
        self._klaviyo_faults.add(*faults)

    def reset_faults(self) -> None:
        """Remove all planned failures of both servers."""
        self._shopify_faults.clear()
        self._klaviyo_faults.clear()

    def shopify_requests(self) -> list[LoggedRequest]:
        """What the Shopify server was asked, oldest first."""
        return self._shopify_log.entries()

    def klaviyo_requests(self) -> list[LoggedRequest]:
        """What the Klaviyo server was asked, oldest first."""
        return self._klaviyo_log.entries()

    def clear_requests(self) -> None:
        """Clear both request logs."""
        self._shopify_log.clear()
        self._klaviyo_log.clear()


def start_sandbox(
    *,
    seed: int = 1,
    anchor: date | None = None,
    shopify_port: int = 0,
    klaviyo_port: int = 0,
    rate_limit_scale: float = 1.0,
) -> Sandbox:
    """Generate both stores and their Klaviyo accounts and serve them on loopback.

    `anchor` is the day (00:00 UTC) at which the two years of history end, today unless given.
    `rate_limit_scale` multiplies Klaviyo's limits; other than 1 it is meant for tests.
    Raises SandboxPortTakenError.
    """
    ends_at = anchor_at(anchor or datetime.now(UTC).date())
    data = generate_stores(seed, ends_at)
    return Sandbox(
        [Store(store) for store in data],
        klaviyo.seeded_accounts(data, rate_limit_scale=rate_limit_scale),
        shopify_port=shopify_port,
        klaviyo_port=klaviyo_port,
    )


def run_forever(
    *,
    seed: int = 1,
    anchor: date | None = None,
    shopify_port: int = 0,
    klaviyo_port: int = 0,
) -> None:
    """Serve until SIGINT or SIGTERM; the first line printed is `Sandbox.describe()` as JSON.

    Call it from the main thread. Raises SandboxPortTakenError.
    """
    stopped = threading.Event()

    def stop(_signal: int, _frame: FrameType | None) -> None:
        stopped.set()

    previous = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with start_sandbox(
            seed=seed, anchor=anchor, shopify_port=shopify_port, klaviyo_port=klaviyo_port
        ) as sandbox:
            print(json.dumps(sandbox.describe(), ensure_ascii=False), flush=True)
            stopped.wait()
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


class _SilentHandler(WSGIRequestHandler):
    """Requests are kept in the request log, not written to the terminal."""

    def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002 - werkzeug's name
        """Write nothing."""


class _Server:
    """One WSGI application on its own thread and port."""

    def __init__(self, app: WSGIApplication, port: int) -> None:
        listener = _listen(port)
        # Werkzeug would end the process if it could not bind; so it is handed a bound socket.
        with listener:
            bound_port = listener.getsockname()[1]
            self._server: BaseWSGIServer = make_server(
                HOST,
                port,
                app,
                threaded=True,
                request_handler=_SilentHandler,
                fd=listener.fileno(),
            )
        self.url = f"http://{HOST}:{bound_port}"
        self._thread = threading.Thread(
            target=self._server.serve_forever,
            kwargs={"poll_interval": 0.05},
            name="sandbox-server",
            daemon=True,
        )
        self._thread.start()

    def stop(self) -> None:
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
            self._server.server_close()


def _listen(port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
        listener.listen(128)
    except OSError as error:
        listener.close()
        raise SandboxPortTakenError(port) from error
    return listener
