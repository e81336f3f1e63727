"""The web service's process."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Mapping

import click

from service.core.config import Settings, public_address
from service.core.db import app_url, open_pool
from service.core.errors import InvalidInputError

# What opens the database as another role than the service's.
_NOT_FOR_WEB = frozenset(
    {"QUINTILE_DATABASE_URL", "QUINTILE_TRANSFORM_DATABASE_URL", "QUINTILE_ROLE_SECRET_KEY"}
)


@click.command()
@click.pass_obj
def serve(settings: Settings) -> None:
    """Serve the API and the admin UI."""
    check_port_free(settings.host, settings.port)
    # Reports a problem with the database or its role before gunicorn starts.
    with open_pool(settings):
        pass
    command = serve_command(settings)
    os.execve(sys.executable, command, web_environment(settings, os.environ))


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


def web_environment(settings: Settings, environ: Mapping[str, str]) -> dict[str, str]:
    """The environment of the web service: its own role's URL, and no way to that of another role.

    The passwords of the roles do not follow from it if QUINTILE_ROLE_SECRET_KEY is set.
    """
    own = {"QUINTILE_APP_DATABASE_URL": app_url(settings)}
    return {name: text for name, text in environ.items() if name not in _NOT_FOR_WEB} | own


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
