-- The list has been brought in step just now.
update app.klaviyo_sync_configs
set last_synced_at = now()
where tenant_id = %(tenant_id)s and config_id = %(config_id)s
