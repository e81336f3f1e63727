-- Profiles that were told something else when we last told them anything. Not those of a list whose
-- last sync stopped to ask: it may be a fault upstream that says something else of them.
with waiting as (
    select c.config_id
    from app.klaviyo_sync_configs as c
    inner join lateral (
        select s.state
        from app.klaviyo_sync_runs as s
        where
            s.tenant_id = %(tenant_id)s
            and s.config_id = c.config_id
            and not s.is_dry_run
            and s.finished_at is not null
        order by s.requested_at desc
        limit 1
    ) as r on true
    where c.tenant_id = %(tenant_id)s and r.state = 'stopped'
)

select
    f.email,
    null as customer_id,
    null as profile_id,
    f.properties::text as properties,
    f.properties_hash
from pg_temp.klaviyo_properties as f
inner join app.klaviyo_profiles as p on p.tenant_id = %(tenant_id)s and f.email = p.email
where
    p.properties_hash <> f.properties_hash
    and not exists (
        select from waiting as w
        inner join app.klaviyo_ledger as k
            on k.tenant_id = %(tenant_id)s and w.config_id = k.config_id
        where k.email = f.email
    )
order by f.email
