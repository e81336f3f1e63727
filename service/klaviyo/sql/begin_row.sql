-- A configuration's turn has come.
update app.klaviyo_sync_runs
set state = 'running', started_at = now()
where tenant_id = %(tenant_id)s and run_id = %(run_id)s and config_id = %(config_id)s
