"""The Klaviyo views: list members and sync runs, current without a build, per tenant."""

from __future__ import annotations

from uuid import UUID

from service.core.config import Settings
from service.core.db import Connection, connect_as_owner, one, open_pool, tenant_transaction
from service.tenants.tenants import add_tenant


def test_the_views_show_current_lists_and_runs_to_analysts_and_the_service(
    built_settings: Settings,
) -> None:
    with connect_as_owner(built_settings) as owner:
        ours, theirs = add_tenant(owner, "ours"), add_tenant(owner, "theirs")
        _sync(owner, ours, "ada@example.com")
        _sync(owner, theirs, "eve@example.com")
    with open_pool(built_settings) as pool:
        for tenant, email in ((ours, "ada@example.com"), (theirs, "eve@example.com")):
            with tenant_transaction(pool, tenant, read_only=True) as conn:
                members = conn.execute(
                    "select email, sync_state, is_on_list, profile_id"
                    " from marts.klaviyo_list_members order by email"
                ).fetchall()
                runs = conn.execute(
                    "select state, trigger, added, calls from marts.klaviyo_sync_runs"
                ).fetchall()
            assert members == [
                {"email": email, "sync_state": "synced", "is_on_list": True, "profile_id": "P1"},
                {
                    "email": "hand@example.com",
                    "sync_state": None,
                    "is_on_list": True,
                    "profile_id": "P2",
                },
            ]
            assert runs == [{"state": "succeeded", "trigger": "cli", "added": 1, "calls": 4}]


def _sync(owner: Connection, tenant: UUID, email: str) -> None:
    """The records of a sync that added one address to a list with another on it."""
    tenant_id = {"tenant_id": tenant}
    config = one(
        owner.execute(
            """
            insert into app.klaviyo_sync_configs (tenant_id, segment_key, list_id, list_name)
            values (%(tenant_id)s, 'rfm:champions', 'L1', 'VIP')
            returning config_id
            """,
            tenant_id,
        ).fetchone()
    )
    run = one(
        owner.execute(
            """
            insert into app.runs (tenant_id, kind, trigger, state, finished_at)
            values (%(tenant_id)s, 'klaviyo_sync', 'cli', 'succeeded', now())
            returning run_id
            """,
            tenant_id,
        ).fetchone()
    )
    values = {**tenant_id, **config, **run, "email": email}
    owner.execute(
        """
        insert into app.klaviyo_sync_runs (
            tenant_id, run_id, config_id, segment_key, list_id, list_name, direction, state,
            counts, calls, finished_at
        )
        values (
            %(tenant_id)s, %(run_id)s, %(config_id)s, 'rfm:champions', 'L1', 'VIP', 'push',
            'succeeded', '{"added": 1}', 4, now()
        )
        """,
        values,
    )
    owner.execute(
        """
        insert into app.klaviyo_ledger (tenant_id, config_id, email, customer_id, state)
        values (%(tenant_id)s, %(config_id)s, %(email)s, '1', 'synced')
        """,
        values,
    )
    owner.execute(
        "insert into app.klaviyo_lists (tenant_id, list_id, name)"
        " values (%(tenant_id)s, 'L1', 'VIP')",
        values,
    )
    owner.execute(
        """
        insert into app.klaviyo_list_profiles (tenant_id, list_id, profile_id, email)
        values
            (%(tenant_id)s, 'L1', 'P1', %(email)s),
            (%(tenant_id)s, 'L1', 'P2', 'hand@example.com')
        """,
        values,
    )
