-- The tenant's lists that are no longer kept in step though nobody paused them, with the reason.
select
    segment_key,
    list_id,
    list_name,
    paused_by,
    coalesce(paused_reason, 'No reason was recorded.') as paused_reason
from app.klaviyo_sync_configs
where tenant_id = %(tenant_id)s and paused_by <> 'person'
order by created_at, config_id
