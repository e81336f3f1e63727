"""The web service as a process."""

from __future__ import annotations

import os
import socket
import sys

import click

from service.core.config import Settings
from service.core.db import open_pool
from service.core.errors import InvalidInputError


@click.command()
@click.pass_obj
def serve(settings: Settings) -> None:
    """Serve the API and the admin UI with gunicorn."""
    check_port_free(settings.host, settings.port)
    # Fails here, in one sentence, when the database or the role is wrong.
    with open_pool(settings):
        pass
    os.execv(sys.executable, serve_command(settings))


def serve_command(settings: Settings) -> list[str]:
    """The gunicorn command line of the web service."""
    return [
        *(sys.executable, "-m", "gunicorn", "service.app:create_app()"),
        *("--bind", f"{settings.host}:{settings.port}"),
        *("--config", "python:service.web_server"),
        *("--workers", str(settings.web_processes)),
        *("--worker-class", "gthread", "--threads", str(settings.web_threads)),
        *("--log-level", "warning"),
    ]


def check_port_free(host: str, port: int) -> None:
    """Refuse early, in a sentence, when the port is taken.

    Raises:
        InvalidInputError: Something listens there already.
    """
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            raise InvalidInputError(
                f"Port {port} on {host} is taken.",
                advice="Stop what listens there, or choose another: QUINTILE_PORT=8001",
            ) from None
