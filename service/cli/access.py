"""Access to a tenant: API tokens, sign-in links and sessions."""

from __future__ import annotations

from uuid import UUID

import click

from service.cli.console import echo, json_option, print_json, recorded
from service.cli.web import site_url
from service.core.config import Settings
from service.core.db import connect_as_owner, find_tenant
from service.core.errors import InvalidInputError
from service.tenants.audit import record_command
from service.tenants.sessions import end_sessions, list_sessions
from service.tenants.tokens import (
    SCOPES,
    SIGN_IN_LIFETIME,
    Scope,
    create_sign_in_code,
    create_token,
    list_tokens,
    revoke_token,
    sign_in_url,
)

_scope_option = click.option(
    "--scope",
    type=click.Choice(SCOPES),
    default="admin",
    show_default=True,
    help="What it allows. Each scope includes those before it.",
)


@click.command("token", epilog="Example: TOKEN=$(quintile tenants token acme --scope read)")
@click.argument("name")
@click.option("--label", default="cli", show_default=True, help="A name for the token.")
@_scope_option
@click.option(
    "--days", type=click.IntRange(1, 3650), help="Days until it stops working; never by default."
)
@click.pass_obj
def token_command(
    settings: Settings, name: str, label: str, scope: Scope, days: int | None
) -> None:
    """Create an API token and print it. Prints only the token, which cannot be shown again."""
    with connect_as_owner(settings) as conn, conn.transaction():
        tenant_id = find_tenant(conn, name)
        created = create_token(conn, tenant_id, label, scope=scope, days=days)
        given = {"label": label, "scope": scope, "expires_in_days": days}
        record_command(conn, tenant_id, "token.created", subject=created.token_id, after=given)
    click.echo(created.token)


@click.command("tokens")
@click.argument("name")
@json_option
@click.pass_obj
def tokens_command(settings: Settings, name: str, as_json: bool) -> None:
    """List a tenant's API tokens, newest first, without their secrets."""
    with connect_as_owner(settings) as conn:
        rows = list_tokens(conn, find_tenant(conn, name))
    if as_json:
        print_json(rows)
        return
    if not rows:
        echo(f"no tokens yet; create one: quintile tenants token {name}")
    for row in rows:
        used = f"used {row['last_used_on']}" if row["last_used_on"] else "never used"
        click.echo(
            f"{row['token_id']}  …{row['last_four']}  {row['scope']:<5}  {row['state']:<7}"
            f"  {used:<15}  {row['label']}"
        )


@click.command("revoke-token", epilog="quintile tenants tokens NAME lists the ids.")
@click.argument("name")
@click.argument("token_id", type=click.UUID)
@click.pass_obj
def revoke_token_command(settings: Settings, name: str, token_id: UUID) -> None:
    """Revoke an API token. It and the sessions that it began stop working at once."""
    with connect_as_owner(settings) as conn, conn.transaction():
        tenant_id = find_tenant(conn, name)
        former = list_tokens(conn, tenant_id, token_id)
        if not revoke_token(conn, tenant_id, token_id):
            raise InvalidInputError(
                f"{name} has no token {token_id}.",
                advice=f"List them: quintile tenants tokens {name}",
            )
        revoked = {column: former[0][column] for column in ("label", "scope")}
        record_command(conn, tenant_id, "token.revoked", subject=token_id, before=revoked)
    echo(f"revoked token {token_id} of {name}")


@click.command("sign-in-link")
@click.argument("name")
@click.option("--person", help="The person's name, which the history of changes shows.")
@_scope_option
@click.pass_obj
@recorded("sign_in_link.created", subject="person")
def sign_in_link_command(settings: Settings, name: str, person: str | None, scope: Scope) -> None:
    """Print a sign-in link for the admin UI. The link works once, within one hour."""
    click.echo(sign_in_link(settings, name, person=person, scope=scope))


@click.command("sessions")
@click.argument("name")
@json_option
@click.pass_obj
def sessions_command(settings: Settings, name: str, as_json: bool) -> None:
    """List who is signed in to the admin UI, newest first."""
    with connect_as_owner(settings) as conn:
        rows = list_sessions(conn, find_tenant(conn, name))
    if as_json:
        print_json(rows)
        return
    if not rows:
        echo("no open sessions")
    for row in rows:
        who = row["person"] or (f"token {row['token_label']}" if row["token_label"] else "link")
        click.echo(f"{row['session_id']}  {row['scope']:<5}  since {row['begun_at']:%F %R}  {who}")


@click.command("sign-out", epilog='Example: quintile tenants sign-out acme --person "Ada Byron"')
@click.argument("name")
@click.option("--person", help="Only this person; everybody by default.")
@click.pass_obj
@recorded("sessions.ended", subject="person")
def sign_out_command(settings: Settings, name: str, person: str | None) -> None:
    """Sign everybody out of the admin UI. Unused sign-in links stop working too."""
    with connect_as_owner(settings) as conn, conn.transaction():
        ended = end_sessions(conn, find_tenant(conn, name), person=person)
    echo(f"{name}: ended {ended} session{'s' if ended != 1 else ''}")


def sign_in_link(
    settings: Settings, name: str, *, person: str | None = None, scope: Scope = "admin"
) -> str:
    """A link at the service's public address that signs in once, within one hour."""
    address = site_url(settings)
    with connect_as_owner(settings) as conn:
        tenant_id = find_tenant(conn, name)
        code = create_sign_in_code(conn, tenant_id, SIGN_IN_LIFETIME, person=person, scope=scope)
    return sign_in_url(address, code)
