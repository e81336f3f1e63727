-- Says which configurations a run is to sync: those named, paused or not, else all that are not
-- paused, or those of them that are scheduled.
insert into app.klaviyo_sync_runs as s (
    tenant_id, run_id, config_id, segment_key, list_id, list_name, direction, is_dry_run
)
select
    %(tenant_id)s,
    %(run_id)s,
    c.config_id,
    c.segment_key,
    c.list_id,
    c.list_name,
    c.direction,
    %(is_dry_run)s
from app.klaviyo_sync_configs as c
where
    c.tenant_id = %(tenant_id)s
    and (
        c.config_id = any(%(config_ids)s::uuid[])
        or (
            %(config_ids)s::uuid[] is null
            and not c.is_paused
            and (c.is_scheduled or not %(only_scheduled)s)
        )
    )
on conflict (tenant_id, run_id, config_id) do nothing
