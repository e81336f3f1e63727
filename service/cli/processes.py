"""The long-running processes: web service, worker, sandbox and demo."""

from __future__ import annotations

import os
import socket
import sys
from datetime import datetime

import click

from service.cli.console import echo
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


@click.command()
@click.pass_obj
def worker(settings: Settings) -> None:
    """Run jobs and schedules until stopped; what is unfinished then is handed back."""
    from service.worker.worker import run_worker

    echo("working; stop with Ctrl-C")
    run_worker(settings)


@click.command()
@click.option("--shopify-port", type=int, default=0, help="Port; a free one when 0.")
@click.option("--klaviyo-port", type=int, default=0, help="Port; a free one when 0.")
@click.option("--seed", type=int, default=1, show_default=True, help="Same seed, same data.")
@click.option(
    "--anchor",
    type=click.DateTime(["%Y-%m-%d"]),
    help="The day on which the two years of history end; today otherwise.",
)
def sandbox(shopify_port: int, klaviyo_port: int, seed: int, anchor: datetime | None) -> None:
    """Serve a Shopify and a Klaviyo sandbox on loopback until stopped.

    The first line printed is a JSON object with their URLs, stores, tokens, keys and lists.
    """
    from sandbox.server import run_forever

    run_forever(
        seed=seed,
        anchor=anchor.date() if anchor else None,
        shopify_port=shopify_port,
        klaviyo_port=klaviyo_port,
    )


@click.command("demo")
@click.option("--once", is_flag=True, help="Print one JSON object and end instead of serving.")
@click.pass_obj
def demo_command(settings: Settings, once: bool) -> None:
    """Run the whole product on two demo stores."""
    from service.cli.demo import run_demo

    run_demo(settings, once=once, echo=echo)


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
