"""The database, health checks, and encryption keys."""

from __future__ import annotations

import os
import sys

import click

from service.cli.console import echo, json_option, print_json
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

_URLS = {"admin": admin_url, "app": app_url, "transform": transform_url}


@click.command()
@click.option("--reset-passwords", is_flag=True, help="Replace unknown passwords of our roles.")
@click.pass_obj
def migrate(settings: Settings, reset_passwords: bool) -> None:
    """Create or upgrade the database schema.

    Applies migrations and sets up roles and row level security. Safe to run again.
    """
    applied = run_migrations(settings, echo, reset_passwords=reset_passwords)
    echo(f"{len(applied)} migrations applied" if applied else "the database is up to date")


@click.group()
def db() -> None:
    """Connect to the database; start or stop the embedded one."""


@db.command("url", epilog="Example: quintile db url --role app")
@click.option(
    "--role", type=click.Choice(list(_URLS)), default="admin", show_default=True, help="Which role."
)
@click.pass_obj
def db_url(settings: Settings, role: str) -> None:
    """Print a connection string. Starts the embedded PostgreSQL if it is in use and not running."""
    click.echo(_URLS[role](settings))


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


@db.command(
    "psql",
    context_settings={"ignore_unknown_options": True},
    epilog="Example: quintile db psql -c 'select * from marts.rfm_segment_definitions'",
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@click.pass_obj
def db_psql(settings: Settings, arguments: tuple[str, ...]) -> None:
    """Open psql on the database. Passes all arguments to psql."""
    url = admin_url(settings)
    # A failing psql may print a part of the password, so check the connection first.
    with connect(url):
        pass
    # The URL may contain a password, which ps would show in the arguments.
    parts = url_parts(url)
    parts["database"] = parts.pop("dbname", "")
    names = ("host", "port", "user", "password", "database", "sslmode")
    environment = {f"PG{name.upper()}": parts[name] for name in names if parts.get(name)}
    os.execve(embedded.psql_path(), ["psql", *arguments], {**os.environ, **environment})


def _require_embedded(settings: Settings) -> None:
    if settings.database_url:
        raise InvalidInputError(
            "QUINTILE_DATABASE_URL is set, so there is no embedded one to manage."
        )


@click.command()
@json_option
@click.option("--fix", is_flag=True, help="Create and repair webhook subscriptions in the stores.")
@click.pass_obj
def doctor(settings: Settings, as_json: bool, fix: bool) -> None:
    """Check the installation for problems.

    Checks the database, tenant isolation, secrets, connections, webhooks, freshness of the data,
    jobs and this host. Each finding has advice. Exits with 1 if a finding is an error.
    """
    from service.doctor.examine import examine

    findings = examine(settings, fix=fix)
    if as_json:
        print_json({"findings": [finding.as_dict() for finding in findings]})
    else:
        for finding in findings:
            click.echo(finding.as_line())
    if any(finding.level == "error" for finding in findings):
        sys.exit(1)


@click.group()
def keys() -> None:
    """Create and rotate the keys that encrypt credentials."""


@keys.command("new", epilog="Example: quintile keys new 2026-07")
@click.argument("key_id", metavar="ID")
def keys_new(key_id: str) -> None:
    """Print a new key. Put it in front of the other keys in QUINTILE_ENCRYPTION_KEYS."""
    from service.tenants.keys import new_key

    click.echo(new_key(key_id))


@keys.command("rotate")
@click.pass_obj
def keys_rotate(settings: Settings) -> None:
    """Encrypt all credentials with the first key.

    Safe to run again. Prints the keys that are no longer used. Remove them from
    QUINTILE_ENCRYPTION_KEYS after every process was restarted with the new key, and so
    QUINTILE_FORMER_SECRET_KEY.
    """
    from service.tenants.keys import rotate_keys

    with connect_as_owner(settings) as conn:
        known = {row["name"]: row["tenant_id"] for row in list_tenants(conn)}
    with open_pool(settings) as pool:
        rotation = rotate_keys(settings, pool, known)
    echo(f"{rotation.resealed} of {sum(rotation.in_use.values())} secrets encrypted again")
    idle = rotation.idle_keys(settings)
    if settings.former_secret_key and not rotation.broken:
        idle.append("QUINTILE_FORMER_SECRET_KEY")
    if idle:
        echo(f"no longer used: {', '.join(idle)}; restart all processes before you remove it")
    for label, reason in rotation.broken.items():
        echo(f"Error: {label}: {reason}")
    if rotation.broken:
        echo("Restore that key or connect these again, then rotate again.")
        sys.exit(1)
