"""Long-running processes: worker, sandbox and demo."""

from __future__ import annotations

from datetime import datetime

import click

from service.cli.console import echo
from service.core.config import Settings


@click.command()
@click.pass_obj
def worker(settings: Settings) -> None:
    """Run jobs and schedules until stopped.

    On a stop, unfinished jobs return to the queue for the next worker.
    """
    from service.worker.worker import run_worker

    echo("working; stop with Ctrl-C")
    run_worker(settings)


@click.command(epilog="Example: quintile sandbox --shopify-port 9001 --klaviyo-port 9002")
@click.option("--shopify-port", type=int, default=0, help="Default: a free port.")
@click.option("--klaviyo-port", type=int, default=0, help="Default: a free port.")
@click.option("--seed", type=int, default=1, show_default=True, help="Random seed of the data.")
@click.option(
    "--anchor", type=click.DateTime(["%Y-%m-%d"]), help="Last day of the data. Default: today."
)
def sandbox(shopify_port: int, klaviyo_port: int, seed: int, anchor: datetime | None) -> None:
    """Serve a sandbox Shopify and Klaviyo until stopped.

    They have two years of data and listen on loopback only. The first line of output is a JSON
    object with their URLs, stores, tokens, keys and lists.
    """
    from sandbox.server import run_forever

    last_day = anchor.date() if anchor else None
    run_forever(seed=seed, anchor=last_day, shopify_port=shopify_port, klaviyo_port=klaviyo_port)


@click.command()
@click.option("--once", is_flag=True, help="Print one JSON object and exit instead of serving.")
@click.pass_obj
def demo(settings: Settings, once: bool) -> None:
    """Run Quintile with two demo stores.

    Starts the sandbox, creates the tenants, syncs, builds and pushes to Klaviyo, then serves the
    admin UI and the API until stopped.
    """
    from service.cli.demo import run_demo

    run_demo(settings, once=once)
