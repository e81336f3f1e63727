-- News of a run: each of its configurations that was not known to fail and does, or was and works.
-- What counts as known is the newest that was told of it. Nobody is told where nobody listens, nor
-- of what a person has paused: they know.
insert into app.notifications (tenant_id, topic, config_id, run_id)
with known as (
    select distinct on (n.config_id)
        n.config_id,
        n.topic
    from app.notifications as n
    where n.tenant_id = %(tenant_id)s and n.config_id is not null
    order by n.config_id asc, n.created_at desc, n.notification_id asc
),

outcomes as (
    select
        r.config_id,
        case
            when r.state = 'paused' and c.paused_by = 'person' then null
            when r.state in ('failed', 'stopped', 'paused') then 'klaviyo_sync.failed'
            when r.state = 'succeeded' then 'klaviyo_sync.recovered'
        end as topic
    from app.klaviyo_sync_runs as r
    inner join app.klaviyo_sync_configs as c
        on c.tenant_id = %(tenant_id)s and r.config_id = c.config_id
    where r.tenant_id = %(tenant_id)s and r.run_id = %(run_id)s and not r.is_dry_run
)

select
    h.tenant_id,
    o.topic,
    o.config_id,
    %(run_id)s
from app.notification_hooks as h
cross join outcomes as o
left join known as k on o.config_id = k.config_id
where
    h.tenant_id = %(tenant_id)s
    and o.topic <> coalesce(k.topic, 'klaviyo_sync.recovered')
returning notification_id
