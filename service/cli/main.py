"""The ``quintile`` command."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from typing import Any

import click
import psycopg

from service.cli.builds import backfill, build
from service.cli.connections import (
    tenants_connect_klaviyo,
    tenants_connect_shopify,
    tenants_disconnect_klaviyo,
    tenants_disconnect_shopify,
    tenants_map_list,
    tenants_unmap_list,
)
from service.cli.console import BUSY, FAILED, echo
from service.cli.database import db, doctor, keys, migrate
from service.cli.export import samples, segments
from service.cli.jobs import housekeep, jobs, runs
from service.cli.klaviyo import klaviyo
from service.cli.privacy import privacy
from service.cli.processes import demo, sandbox, worker
from service.cli.schedules import schedules
from service.cli.sync import orders, sync
from service.cli.tenants import tenants
from service.cli.web import serve
from service.cli.webhooks import webhooks
from service.core.config import load_settings, unknown_variables
from service.core.errors import AlreadyRunningError, QuintileError
from service.core.logs import configure_logging


class Group(click.Group):
    """A command group whose explained errors end in one sentence and exit code 1."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except QuintileError as error:
            for line in (f"Error: {error.message}", error.detail, error.advice):
                if line:
                    click.echo(line, err=True)
            ctx.exit(BUSY if isinstance(error, AlreadyRunningError) else FAILED)
        except (psycopg.errors.UndefinedTable, psycopg.errors.InsufficientPrivilege) as error:
            # Only PostgreSQL's own first line: a statement's parameters may hold anything.
            click.echo(f"Error: {error.diag.message_primary}.", err=True)
            click.echo(
                "The database is not ready for this: quintile migrate, then quintile build.",
                err=True,
            )
            ctx.exit(1)
        except psycopg.OperationalError:
            click.echo("Error: The connection to the database was lost.", err=True)
            ctx.exit(1)
        except BrokenPipeError:
            # The reader of a pipe, head for example, has seen enough.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            ctx.exit(0)


@click.group(cls=Group)
@click.pass_context
def main(ctx: click.Context) -> None:
    """Customer segments, sample tracking and Klaviyo sync inside your PostgreSQL."""
    settings = ctx.obj = load_settings()
    if ctx.invoked_subcommand != "worker":
        # A command tells its progress in its own words; the log is for what goes wrong.
        settings = replace(settings, log_level="WARNING")
    configure_logging(settings)
    for name in unknown_variables():
        echo(f"Warning: {name} is not a setting; docs/settings.md lists those there are.")


for _command in (
    migrate,
    db,
    doctor,
    keys,
    tenants,
    sync,
    klaviyo,
    orders,
    build,
    backfill,
    webhooks,
    privacy,
    segments,
    samples,
    schedules,
    runs,
    jobs,
    housekeep,
    serve,
    worker,
    sandbox,
    demo,
):
    main.add_command(_command)

for _command in (
    tenants_connect_shopify,
    tenants_disconnect_shopify,
    tenants_connect_klaviyo,
    tenants_disconnect_klaviyo,
    tenants_map_list,
    tenants_unmap_list,
):
    tenants.add_command(_command)
