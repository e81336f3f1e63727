-- The tenant's lists that are to be kept in step.
select
    config_id,
    segment_key,
    list_id,
    list_name
from app.klaviyo_sync_configs
where tenant_id = %(tenant_id)s and not is_paused and direction = 'push'
order by created_at, config_id
