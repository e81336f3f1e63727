"""Proxies between a process and what it talks to: they count messages, and can fail."""

from __future__ import annotations

import select
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

Side = Literal["database", "upstream"]

_POLL_SECONDS = 0.02
_BYTES = 1 << 18


@dataclass(frozen=True)
class Point:
    """Before the n-th message to a side is passed on, from 1; or late: before its answer is.

    A late fault hits what was done by the other side without the process knowing that.
    """

    side: Side
    number: int
    is_late: bool

    def __str__(self) -> str:
        what = "answer of" if self.is_late else "message to"
        return f"{what} the {self.side}, number {self.number}"


class Gate:
    """Counts the messages of a process, and lets a fault happen at one of them."""

    def __init__(self) -> None:
        self.sent: Counter[str] = Counter()
        self._lock = threading.RLock()
        self._point: Point | None = None
        self._fire: Callable[[], None] | None = None

    def reset(self, point: Point | None = None, fire: Callable[[], None] | None = None) -> None:
        """Count from the start, and call ``fire`` once at the point."""
        with self._lock:
            self.sent.clear()
            self._point, self._fire = point, fire

    def send(self, link: Link) -> None:
        """A message is about to be passed on."""
        with self._lock:
            if link.is_sending:
                # The rest of a message that came in pieces.
                return
            link.is_sending = True
            self.sent[link.side] += 1
            point = self._point
            if point and point.side == link.side and point.number == self.sent[link.side]:
                if point.is_late:
                    link.is_awaited = True
                else:
                    self._happen()

    def answer(self, link: Link) -> None:
        """An answer is about to be passed on."""
        link.is_sending = False
        if link.is_awaited:
            with self._lock:
                link.is_awaited = False
                self._happen()

    def _happen(self) -> None:
        fire, self._point, self._fire = self._fire, None, None
        if fire is not None:
            fire()


@dataclass(eq=False)
class Link:
    """A connection of the process, and its other half to what it is connected to."""

    side: Side
    ends: tuple[socket.socket, socket.socket]
    is_sending: bool = False
    is_awaited: bool = False
    _open_halves: int = 2
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def ended(self) -> bool:
        """One half has ended; whether both have, and the link is closed."""
        with self._lock:
            self._open_halves -= 1
            is_over = self._open_halves == 0
        if is_over:
            for end in self.ends:
                end.close()
        return is_over

    def cut(self) -> None:
        for end in self.ends:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


Address = tuple[str, int] | str


class Proxy:
    """Listens where a process connects to, and passes everything on."""

    def __init__(self, side: Side, gate: Gate, address: Address, target: Address) -> None:
        """Listen at a TCP address (port 0: any) or the path of a Unix socket."""
        self.side, self.gate, self.target = side, gate, target
        self._links: set[Link] = set()
        self._closed_until = 0.0
        self._is_open = True
        self._stopped = threading.Event()
        self._listener = _listen(address)
        self.address: Address = (
            address if isinstance(address, str) else self._listener.getsockname()[:2]
        )
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """Its address for HTTP."""
        host, port = self.address
        return f"http://{host}:{port}"

    @property
    def is_cut(self) -> bool:
        """Whether it refuses connections."""
        return not self._is_open or time.monotonic() < self._closed_until

    def cut(self, seconds: float) -> int:
        """End all connections and refuse new ones for a while; how many were ended."""
        self._closed_until = time.monotonic() + seconds
        links = list(self._links)
        for link in links:
            link.cut()
        return len(links)

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join()
        self.cut(0)

    def _accept(self) -> None:
        while not self._stopped.is_set():
            if time.monotonic() < self._closed_until:
                self._is_open = False
                self._listener.close()
                while time.monotonic() < self._closed_until and not self._stopped.is_set():
                    time.sleep(_POLL_SECONDS)
                self._listener = _listen(self.address)
                self._is_open = True
            if not select.select([self._listener], [], [], _POLL_SECONDS)[0]:
                continue
            caller, _ = self._listener.accept()
            if time.monotonic() < self._closed_until:
                caller.close()
                continue
            self._connect(caller)
        self._listener.close()

    def _connect(self, caller: socket.socket) -> None:
        family = socket.AF_UNIX if isinstance(self.target, str) else socket.AF_INET
        called = socket.socket(family, socket.SOCK_STREAM)
        try:
            called.connect(self.target)
        except OSError:
            caller.close()
            called.close()
            return
        for end in (caller, called):
            if end.family == socket.AF_INET:
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        link = Link(self.side, (caller, called))
        self._links.add(link)
        for source, sink, passing in (
            (caller, called, self.gate.send),
            (called, caller, self.gate.answer),
        ):
            pump = threading.Thread(
                target=self._pump, args=(link, source, sink, passing), daemon=True
            )
            pump.start()

    def _pump(
        self,
        link: Link,
        source: socket.socket,
        sink: socket.socket,
        passing: Callable[[Link], None],
    ) -> None:
        with suppress(OSError):
            while data := source.recv(_BYTES):
                passing(link)
                sink.sendall(data)
        # The other pump then finds the end of its source.
        link.cut()
        if link.ended():
            self._links.discard(link)


def _listen(address: Address) -> socket.socket:
    if isinstance(address, str):
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        Path(address).unlink(missing_ok=True)
        listener.bind(address)
    else:
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    listener.listen(128)
    return listener
