-- The other configurations that put people on a list.
select
    config_id,
    segment_key,
    is_paused
from app.klaviyo_sync_configs
where
    tenant_id = %(tenant_id)s
    and list_id = %(list_id)s
    and config_id <> %(config_id)s
    and direction <> 'pull'
order by config_id
