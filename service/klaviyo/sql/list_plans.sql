-- What a run has planned about each configuration, in the order of their making.
select
    s.config_id,
    s.segment_key,
    s.list_id,
    s.list_name,
    s.direction,
    s.state,
    s.error,
    s.advice,
    s.plan
from app.klaviyo_sync_runs as s
inner join app.klaviyo_sync_configs as c
    on c.tenant_id = %(tenant_id)s and s.config_id = c.config_id
where s.tenant_id = %(tenant_id)s and s.run_id = %(run_id)s
order by c.created_at, c.config_id
