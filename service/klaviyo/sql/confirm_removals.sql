-- A person agrees to so many removals.
update app.klaviyo_sync_configs
set confirmed_removals = %(removals)s
where tenant_id = %(tenant_id)s and config_id = %(config_id)s
