-- Pauses all that a key is needed for until one is accepted.
update app.klaviyo_sync_configs
set
    is_paused = true,
    paused_by = 'key',
    paused_at = now(),
    paused_reason = %(reason)s
where tenant_id = %(tenant_id)s and not is_paused
