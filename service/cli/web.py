"""The web service's process."""

from __future__ import annotations

import os
import socket
import sys

import click

from service.core.config import Settings, public_address
from service.core.db import open_pool
from service.core.errors import InvalidInputError


@click.command()
@click.pass_obj
def serve(settings: Settings) -> None:
    """Serve the API and the admin UI."""
    check_port_free(settings.host, settings.port)
    # Reports a problem with the database or its role before gunicorn starts.
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
        *("--worker-class", "gevent"),
        *("--log-level", "warning"),
    ]


def site_url(settings: Settings) -> str:
    """The address at which people open the service: its public one, or that on which it listens.

    Raises:
        InvalidSettingError: The public address is not an https URL.
    """
    if address := public_address(settings):
        return address
    # Every address of this machine is also reached by its loopback address.
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)  # noqa: S104
    return f"http://[{host}]:{settings.port}" if ":" in host else f"http://{host}:{settings.port}"


def check_port_free(host: str, port: int) -> None:
    """Check that the port can be used.

    Raises:
        InvalidInputError: Another process listens on it.
    """
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            raise InvalidInputError(
                f"Port {port} on {host} is taken.",
                advice="Stop the other process, or choose another port: QUINTILE_PORT=8001",
            ) from None
