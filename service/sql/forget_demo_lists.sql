-- The demo keeps its database, while its sandbox Klaviyo account is new and empty at every start:
-- by what is known of the last one, everybody would seem to have been taken off by a person, and to
-- have been told everything.
with ledger as (
    delete from app.klaviyo_ledger
    where tenant_id = %(tenant_id)s
),

lists as (
    delete from app.klaviyo_lists
    where tenant_id = %(tenant_id)s
),

profiles as (
    delete from app.klaviyo_profiles
    where tenant_id = %(tenant_id)s
),

events as (
    delete from app.klaviyo_events
    where tenant_id = %(tenant_id)s
)

update app.klaviyo_sync_configs
set first_synced_at = null
where tenant_id = %(tenant_id)s
