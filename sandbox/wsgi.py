"""What both sandbox servers share: a request log, planned failures, and the `/_sandbox` routes."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from threading import Lock
from typing import TYPE_CHECKING

from flask import Blueprint, Flask, Response, jsonify, request
from pydantic import TypeAdapter, ValidationError

from .faults import Fault, FaultPlan

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

CONTROL_PREFIX = "/_sandbox/"
ErrorBody = Callable[[int], dict[str, object]]
_FAULTS = TypeAdapter(list[Fault])


@dataclass(frozen=True, slots=True)
class LoggedRequest:
    """A request as the server saw it. `status` is 0 when the connection was dropped."""

    method: str
    path: str
    status: int


class RequestLog:
    """Every request a server has answered, oldest first. Thread-safe."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._entries: list[LoggedRequest] = []

    def add(self, entry: LoggedRequest) -> None:
        """Append `entry`."""
        with self._lock:
            self._entries.append(entry)

    def entries(self) -> list[LoggedRequest]:
        """A copy of the log."""
        with self._lock:
            return list(self._entries)

    def clear(self) -> None:
        """Start afresh."""
        with self._lock:
            self._entries.clear()


def instrument(
    app: Flask, error_body: ErrorBody, content_type: str
) -> tuple[FaultPlan, RequestLog]:
    """Give `app` a request log, planned failures and routes to control them.

    `error_body` renders a status as the API's own error format, served as `content_type`.
    """
    plan, log = FaultPlan(), RequestLog()
    app.register_blueprint(_control(plan, log))
    inner = _failing(app.wsgi_app, plan, error_body, content_type)
    app.wsgi_app = _recording(inner, log)  # type: ignore[method-assign, assignment]
    return plan, log


def _control(plan: FaultPlan, log: RequestLog) -> Blueprint:
    control = Blueprint("sandbox_control", __name__, url_prefix=CONTROL_PREFIX.rstrip("/"))

    @control.post("/faults")
    def add_faults() -> tuple[Response, int]:
        try:
            faults = _FAULTS.validate_json(request.get_data())
        except ValidationError as error:
            return jsonify(error=error.errors(include_url=False, include_input=False)), 400
        plan.add(*faults)
        return jsonify(planned=len(faults)), 201

    @control.delete("/faults")
    def clear_faults() -> tuple[str, int]:
        plan.clear()
        return "", 204

    @control.get("/requests")
    def requests() -> Response:
        return jsonify([asdict(entry) for entry in log.entries()])

    return control


def _recording(inner: WSGIApplication, log: RequestLog) -> WSGIApplication:
    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if path.startswith(CONTROL_PREFIX):
            return inner(environ, start_response)

        def recording_start(status: str, *args: object) -> Callable[[bytes], object]:
            code = 0 if environ.get("sandbox.dropped") else int(status.split(" ", 1)[0])
            log.add(LoggedRequest(environ["REQUEST_METHOD"], path, code))
            return start_response(status, *args)  # type: ignore[arg-type]

        return inner(environ, recording_start)

    return app


def _failing(
    inner: WSGIApplication, plan: FaultPlan, error_body: ErrorBody, content_type: str
) -> WSGIApplication:
    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        fault = None if path.startswith(CONTROL_PREFIX) else plan.take(path)
        if fault is None:
            return inner(environ, start_response)
        time.sleep(fault.delay)
        if fault.lose:
            _answer_nobody(inner, environ)
        if fault.drop or fault.lose:
            return _drop(environ, start_response)
        if fault.html or fault.status is not None:
            return _error(fault, error_body, content_type)(environ, start_response)
        if fault.truncate:
            return _truncated(inner, environ, start_response)
        return inner(environ, start_response)

    return app


def _answer_nobody(inner: WSGIApplication, environ: WSGIEnvironment) -> None:
    """Do what was asked, and keep the answer."""

    def start_nothing(*_: object) -> Callable[[bytes], object]:
        return lambda _: None

    for _ in inner(environ, start_nothing):
        pass


def _drop(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Close the connection: what the server then writes goes nowhere."""
    environ["sandbox.dropped"] = True
    # The request is recorded here, before the client can know of its end.
    start_response("500 Dropped", [])
    connection: socket.socket = environ["werkzeug.socket"]
    connection.shutdown(socket.SHUT_RDWR)
    return []


def _error(fault: Fault, error_body: ErrorBody, content_type: str) -> Response:
    status = fault.status or 502
    if fault.html:
        page = f"<!doctype html><title>{status}</title><h1>Something went wrong</h1>\n"
        response = Response(page, status, content_type="text/html; charset=utf-8")
    else:
        response = Response(json.dumps(error_body(status)), status, content_type=content_type)
    if fault.retry_after is not None:
        response.headers["Retry-After"] = str(fault.retry_after)
    return response


def _truncated(
    inner: WSGIApplication, environ: WSGIEnvironment, start_response: StartResponse
) -> Iterable[bytes]:
    """Promise the whole body in Content-Length and send half of it."""
    body = b"".join(inner(environ, start_response))
    return [body[: len(body) // 2]]
