-- What is about to be done, for those who watch.
update app.klaviyo_sync_runs
set plan = %(plan)s
where tenant_id = %(tenant_id)s and run_id = %(run_id)s and config_id = %(config_id)s
