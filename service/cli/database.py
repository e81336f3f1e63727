"""The database, its health and the keys that seal credentials."""

from __future__ import annotations

import json
import os
import sys

import click

from service.cli.console import echo
from service.core import embedded
from service.core.config import Settings
from service.core.db import (
    admin_url,
    app_url,
    connect,
    connect_as_owner,
    open_pool,
    transform_url,
    url_parts,
)
from service.core.errors import InvalidInputError
from service.migrate import migrate as run_migrations
from service.tenants.tenants import list_tenants


@click.command()
@click.option(
    "--reset-passwords",
    is_flag=True,
    help="Give the database roles this installation's passwords though they have others.",
)
@click.pass_obj
def migrate(settings: Settings, reset_passwords: bool) -> None:
    """Prepare or upgrade the database: schemas, roles, row level security."""
    applied = run_migrations(settings, echo, reset_passwords=reset_passwords)
    echo(f"{len(applied)} migrations applied" if applied else "the database is up to date")


@click.group()
def db() -> None:
    """The database: its URL and, when it is the embedded one, its life cycle."""


@db.command("url")
@click.option(
    "--role",
    type=click.Choice(["admin", "app", "transform"]),
    default="admin",
    show_default=True,
    help="Whose URL.",
)
@click.pass_obj
def db_url(settings: Settings, role: str) -> None:
    """Print a connection string; starts the embedded PostgreSQL if need be."""
    urls = {"admin": admin_url, "app": app_url, "transform": transform_url}
    click.echo(urls[role](settings))


@db.command("start")
@click.pass_obj
def db_start(settings: Settings) -> None:
    """Start the embedded PostgreSQL."""
    _require_embedded(settings)
    admin_url(settings)
    echo("the embedded PostgreSQL is running")


@db.command("stop")
@click.pass_obj
def db_stop(settings: Settings) -> None:
    """Stop the embedded PostgreSQL."""
    _require_embedded(settings)
    stopped = embedded.stop(settings.home_dir / "pg")
    echo("the embedded PostgreSQL is stopped" if stopped else "it was not running")


@db.command("psql", context_settings={"ignore_unknown_options": True})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@click.pass_obj
def db_psql(settings: Settings, arguments: tuple[str, ...]) -> None:
    """Open a shell on the database; further arguments go to psql."""
    url = admin_url(settings)
    # Asked first here: psql's own error may repeat a part of the password.
    with connect(url):
        pass
    # The URL may hold a password: it goes through the environment, not where ps can read it.
    environment = {**os.environ, **_libpq_environment(url)}
    os.execve(embedded.psql_path(), ["psql", *arguments], environment)


def _libpq_environment(url: str) -> dict[str, str]:
    names = {
        "host": "PGHOST",
        "port": "PGPORT",
        "user": "PGUSER",
        "password": "PGPASSWORD",
        "dbname": "PGDATABASE",
        "sslmode": "PGSSLMODE",
    }
    return {names[key]: value for key, value in url_parts(url).items() if key in names}


def _require_embedded(settings: Settings) -> None:
    if settings.database_url:
        raise InvalidInputError(
            "QUINTILE_DATABASE_URL names the database; there is no embedded one to manage."
        )


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print the findings as one JSON object.")
@click.option("--fix", is_flag=True, help="Create and mend webhook subscriptions in the stores.")
@click.pass_obj
def doctor(settings: Settings, as_json: bool, fix: bool) -> None:
    """Check the database, isolation, secrets, connections, webhooks, freshness, jobs and machine.

    Each finding says what to do about it. Exits 1 when one of them is an error.
    """
    from service.doctor.examine import examine

    findings = examine(settings, fix=fix)
    if as_json:
        click.echo(json.dumps({"findings": [finding.as_dict() for finding in findings]}))
    else:
        for finding in findings:
            click.echo(finding.as_line())
    if any(finding.level == "error" for finding in findings):
        sys.exit(1)


@click.group()
def keys() -> None:
    """The key ring that seals stored credentials."""


@keys.command("new")
@click.argument("key_id", metavar="ID")
def keys_new(key_id: str) -> None:
    """Print an entry with a new key, for the front of QUINTILE_ENCRYPTION_KEYS."""
    from service.tenants.keys import new_key

    click.echo(new_key(key_id))


@keys.command("rotate")
@click.pass_obj
def keys_rotate(settings: Settings) -> None:
    """Seal every stored credential with the first key of the ring.

    Harmless at any time and as often as you like. Keys that seal nothing any more are named; they
    may leave the ring once every process has been restarted with the new one.
    """
    from service.tenants.keys import rotate_keys

    with connect_as_owner(settings) as conn:
        known = {row["name"]: row["tenant_id"] for row in list_tenants(conn)}
    with open_pool(settings) as pool:
        rotation = rotate_keys(settings, pool, known)
    echo(f"{rotation.resealed} of {sum(rotation.in_use.values())} secrets sealed anew")
    if idle := rotation.idle_keys(settings):
        echo(
            f"no secret needs {', '.join(idle)} any more; restart every process with the new"
            " ring before it goes"
        )
    for label, reason in rotation.broken.items():
        click.echo(f"Error: {label}: {reason}", err=True)
    if rotation.broken:
        click.echo("Put that key back, or connect these again, then rotate once more.", err=True)
        sys.exit(1)
