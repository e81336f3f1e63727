"""Structured logs on standard error, one event a line, with the ids of what it belongs to.

``request_id``, ``tenant_id`` and ``run_id`` are bound as context variables where they become
known, and are on every line from there on. Query strings and bodies are never logged; what looks
like a credential is masked all the same, whoever logged it.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Mapping
from typing import Any

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from service.core.config import Settings

_SECRETS = re.compile(
    r"\b(?P<kind>qnt|qsi|pk|shpat|shpss|shpca)_[A-Za-z0-9_-]{8,}"
    r"|(?P<scheme>\b[a-z][a-z0-9+]*://[^\s:/@]*:)[^\s@/]+(?=@)"
    r"|(?P<header>\b(?:Bearer|Klaviyo-API-Key)\s+)\S+",
    re.ASCII,
)


def configure_logging(settings: Settings) -> None:
    """Send structlog's and the standard library's logs to standard error, in the set format."""
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
                # Tracebacks as plain text: the prettier ones print local variables.
                structlog.processors.format_exc_info,
                mask_secrets,
                _renderer(settings),
            ],
        )
    )
    root = logging.getLogger()
    for former in [item for item in root.handlers if isinstance(item, _StderrHandler)]:
        root.removeHandler(former)
    root.addHandler(handler)
    root.setLevel(settings.log_level.upper())
    _reassign(logging.getLogger("gunicorn.error"))
    # Our own access line says the same and more.
    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    logging.getLogger("httpx").setLevel(logging.WARNING)
    # It repeats, at length, what the run's own lines say.
    logging.getLogger("procrastinate").setLevel(logging.WARNING)


class _StderrHandler(logging.Handler):
    """Writes to whatever standard error is at that moment."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            print(self.format(record), file=sys.stderr, flush=True)
        except Exception:  # noqa: BLE001 - logging's own way with a log that cannot be written
            self.handleError(record)


def _reassign(logger: logging.Logger) -> None:
    """Make a logger that brings its own handler speak through ours."""
    logger.handlers.clear()
    logger.propagate = True


def mask_secrets(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """A structlog processor: credentials inside the event's values become ``***``."""
    return {key: _masked(value) for key, value in event.items()}


def _masked(value: Any) -> Any:
    if isinstance(value, str):
        return _SECRETS.sub(_mask, value)
    if isinstance(value, Mapping):
        return {key: _masked(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_masked(item) for item in value]
    return value


def _mask(match: re.Match[str]) -> str:
    if match["kind"]:
        return f"{match['kind']}_***"
    return f"{match['scheme'] or match['header']}***"


def _renderer(settings: Settings) -> Processor:
    if settings.log_format == "json":
        return structlog.processors.JSONRenderer()
    return structlog.dev.ConsoleRenderer(
        colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
    )
