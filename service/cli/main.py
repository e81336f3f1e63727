"""The ``quintile`` command."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from typing import Any

import click
import psycopg

from service.cli.builds import backfill, build, dbt_project
from service.cli.console import BUSY, FAILED, echo
from service.cli.database import db, doctor, keys, migrate
from service.cli.export import samples
from service.cli.jobs import housekeep, jobs, runs
from service.cli.klaviyo import klaviyo
from service.cli.metafields import metafields
from service.cli.privacy import privacy
from service.cli.processes import demo, sandbox, worker
from service.cli.promo_codes import promo_codes
from service.cli.schedules import schedules
from service.cli.segments import segments
from service.cli.sync import orders, sync
from service.cli.tenants import tenants
from service.cli.web import serve
from service.cli.webhooks import webhooks
from service.core.config import check_installation, load_settings, unknown_variables
from service.core.errors import AlreadyRunningError, QuintileError
from service.core.failures import explain_failure
from service.core.logs import configure_logging


class Group(click.Group):
    """A command group that prints expected errors without a traceback, and sets the exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except QuintileError as error:
            for line in filter(None, (f"Error: {error.message}", error.detail, error.advice)):
                echo(line)
            ctx.exit(BUSY if isinstance(error, AlreadyRunningError) else FAILED)
        except (psycopg.errors.UndefinedTable, psycopg.errors.InsufficientPrivilege) as error:
            # Not the rest of PostgreSQL's message, which may contain parameters.
            echo(f"Error: {error.diag.message_primary}.")
            echo("The database is not ready. Run: quintile migrate, then quintile build")
            ctx.exit(FAILED)
        except BrokenPipeError:
            # The reader of a pipe, such as head, has closed it.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            ctx.exit(0)
        except (psycopg.Error, OSError) as error:
            explained = explain_failure(error)
            if explained is None:
                raise
            echo(f"Error: {explained[0]}")
            echo(explained[1])
            ctx.exit(FAILED)


@click.group(cls=Group)
@click.pass_context
def main(ctx: click.Context) -> None:
    """Customer segments, sample tracking and Klaviyo sync in your PostgreSQL.

    Settings come from environment variables; see docs/settings.md.
    """
    check_installation()
    settings = ctx.obj = load_settings()
    if ctx.invoked_subcommand != "worker":
        # A command prints its own progress; it logs problems only.
        settings = replace(settings, log_level="WARNING")
    configure_logging(settings)
    for name in unknown_variables():
        echo(f"Warning: {name} is not a setting; see docs/settings.md.")


for _command in (
    migrate,
    db,
    doctor,
    keys,
    tenants,
    sync,
    klaviyo,
    promo_codes,
    metafields,
    orders,
    build,
    backfill,
    dbt_project,
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
