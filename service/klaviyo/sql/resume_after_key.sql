-- A key has been accepted: goes on with what was paused for the lack of one.
update app.klaviyo_sync_configs
set
    is_paused = false,
    paused_by = null,
    paused_at = null,
    paused_reason = null
where tenant_id = %(tenant_id)s and paused_by = 'key'
