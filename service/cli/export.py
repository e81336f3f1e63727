"""Segments and samples as CSV on standard output."""

from __future__ import annotations

import sys

import click
from psycopg import sql

from service.cli.console import tenant_connection, tenant_option, warn_order_limit
from service.core.config import Settings
from service.core.csv_stream import stream_csv
from service.core.queries import query


@click.command("export", epilog="Example: quintile segments export --tenant acme > rfm.csv")
@tenant_option
@click.pass_obj
def segments_export(settings: Settings, tenant: str) -> None:
    """Print the scored customers with their segments as CSV.

    Text that a spreadsheet would run as a formula starts with an apostrophe.
    """
    _export(settings, tenant, query("cli.export_rfm"))


@click.group()
def samples() -> None:
    """Export sample orders."""


@samples.command("export", epilog="Example: quintile samples export --tenant acme > samples.csv")
@tenant_option
@click.pass_obj
def samples_export(settings: Settings, tenant: str) -> None:
    """Print the sample orders as CSV.

    Text that a spreadsheet would run as a formula starts with an apostrophe.
    """
    _export(settings, tenant, query("cli.export_samples"))


def _export(settings: Settings, tenant: str, statement: sql.SQL) -> None:
    with tenant_connection(settings, tenant, read_only=True) as (conn, tenant_id):
        warn_order_limit(conn, tenant, tenant_id)
        for block in stream_csv(conn, statement, {"tenant_id": tenant_id}):
            sys.stdout.buffer.write(block)
    sys.stdout.flush()
