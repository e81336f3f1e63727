-- The tenant's lists that are no longer kept in step though nobody paused them, with the reason.
-- The release before 0015 names no one: only its syncs paused lists.
select
    segment_key,
    list_id,
    list_name,
    coalesce(paused_by, 'sync') as paused_by,
    coalesce(paused_reason, 'No reason was recorded.') as paused_reason
from app.klaviyo_sync_configs
where tenant_id = %(tenant_id)s and is_paused and paused_by is distinct from 'person'
order by created_at, config_id
