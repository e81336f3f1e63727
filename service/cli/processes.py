"""Processes that run until stopped: worker, sandbox and demo."""

from __future__ import annotations

from datetime import datetime

import click

from service.cli.console import echo
from service.core.config import Settings


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


@click.command()
@click.option("--once", is_flag=True, help="Print one JSON object and end instead of serving.")
@click.pass_obj
def demo(settings: Settings, once: bool) -> None:
    """Run the whole product on two demo stores."""
    from service.cli.demo import run_demo

    run_demo(settings, once=once, echo=echo)
