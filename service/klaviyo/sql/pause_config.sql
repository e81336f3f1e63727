-- Stops syncing a list until a person has seen why.
update app.klaviyo_sync_configs
set
    is_paused = true,
    paused_by = 'sync',
    paused_at = now(),
    paused_reason = %(reason)s
where tenant_id = %(tenant_id)s and config_id = %(config_id)s and not is_paused
