-- Profiles that were told something else when we last told them anything. Not those of a list whose
-- last sync stopped to ask: it may be a fault upstream that says something else of them. Nor those
-- whose address was changed in Klaviyo: by the former one an import would make a second profile.
with stale as materialized (
    select
        f.email,
        f.properties,
        f.properties_hash
    from pg_temp.klaviyo_properties as f
    inner join app.klaviyo_profiles as p on p.tenant_id = %(tenant_id)s and f.email = p.email
    where p.properties_hash <> f.properties_hash
),

configs as (
    select
        c.config_id,
        c.list_id,
        coalesce(r.state = 'stopped', false) as waits
    from app.klaviyo_sync_configs as c
    left join lateral (
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
    where c.tenant_id = %(tenant_id)s and c.direction <> 'pull'
),

left_alone as (
    select k.email
    from stale as s
    cross join configs as c
    inner join app.klaviyo_ledger as k
        on k.tenant_id = %(tenant_id)s and c.config_id = k.config_id and s.email = k.email
    left join app.klaviyo_list_profiles as p
        on
            p.tenant_id = %(tenant_id)s
            and c.list_id = p.list_id
            and k.profile_id = p.profile_id
    where c.waits or (p.profile_id is not null and p.email is distinct from k.email)
)

select
    s.email,
    null as customer_id,
    null as profile_id,
    s.properties::text as properties,
    s.properties_hash
from stale as s
where not exists (select from left_alone as l where l.email = s.email)
order by s.email
