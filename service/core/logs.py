"""Structured logs on standard error, one event per line, with the ids it belongs to.

``request_id``, ``tenant_id`` and ``run_id`` become context variables as soon as they are known, and
are on every later line. Query strings and bodies are never logged; text that looks like a
credential is masked in every line, a library's too. Control characters are escaped: what a client
sends cannot end a line or speak to a terminal.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Mapping
from functools import partial
from typing import Any

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from service.core.config import Settings

_SECRETS = re.compile(
    r"\b(?P<kind>qnt|qsi|pk|shp[a-z]{2}|whsec)_[A-Za-z0-9_+/=-]{8,}"
    # As in libpq's connection strings, in query strings, and in JSON or a dictionary.
    r"|(?P<setting>\b(?i:password|client_secret|access_token|refresh_token)"
    r"(?:\s*=|\\?[\"']\s*:)\s*)"
    r"(?:'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"|[^\s&,;]+)"
    r"|(?P<scheme>\b(?i:[a-z][a-z0-9+]*)://[^\s:/@]*:)[^\s@/]+(?=@)"
    r"|(?P<header>\b(?i:Bearer|Klaviyo-API-Key)\s+)\S+"
    # JSON Web Tokens.
    r"|(?P<jwt>\beyJ)[\w-]+\.[\w-]+\.[\w-]+",
    re.ASCII,
)
# C0 and C1, and what changes the direction of text or ends a line; a traceback keeps its lines.
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")
_KEPT_IN_TRACEBACKS = "\n\t"


def configure_logging(settings: Settings) -> None:
    """Send the logs of structlog and the standard library to standard error."""
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )
    handler = _StderrHandler()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.ExtraAdder()],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                # Plain tracebacks: structlog's rich ones print local variables.
                structlog.processors.format_exc_info,
                mask_secrets,
                _renderer(settings),
            ],
        )
    )
    root = logging.getLogger()
    for old in [item for item in root.handlers if isinstance(item, _StderrHandler)]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(settings.log_level.upper())
    gunicorn = logging.getLogger("gunicorn.error")
    gunicorn.handlers.clear()
    gunicorn.propagate = True
    # Their lines repeat our own access and run lines.
    for name in ("werkzeug", "httpx", "procrastinate"):
        logging.getLogger(name).setLevel(logging.WARNING)


class _StderrHandler(logging.Handler):
    """Writes to the current ``sys.stderr``, which may be replaced after the start."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            print(self.format(record), file=sys.stderr, flush=True)
        except Exception:  # noqa: BLE001 - as logging.StreamHandler does
            self.handleError(record)


def mask_secrets(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """A structlog processor that replaces credentials in the event's values by ``***``.

    It escapes control characters, too.
    """
    return {
        key: _masked(value, keep=_KEPT_IN_TRACEBACKS if key == "exception" else "")
        for key, value in event.items()
    }


def _masked(value: Any, *, keep: str = "") -> Any:
    if isinstance(value, str):
        return _CONTROL.sub(partial(_escape, keep=keep), _SECRETS.sub(_mask, value))
    if isinstance(value, Mapping):
        return {key: _masked(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_masked(item) for item in value]
    return value


def _escape(match: re.Match[str], *, keep: str) -> str:
    return match[0] if match[0] in keep else match[0].encode("unicode_escape").decode()


def _mask(match: re.Match[str]) -> str:
    if match["kind"]:
        return f"{match['kind']}_***"
    return f"{match['setting'] or match['scheme'] or match['header'] or match['jwt']}***"


def _renderer(settings: Settings) -> Processor:
    if settings.log_format == "json":
        return structlog.processors.JSONRenderer()
    return structlog.dev.ConsoleRenderer(
        colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
    )
