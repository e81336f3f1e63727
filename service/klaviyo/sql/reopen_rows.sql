-- What failed when this run was last tried is tried again with it.
update app.klaviyo_sync_runs
set state = 'queued', error = null, advice = null, finished_at = null
where tenant_id = %(tenant_id)s and run_id = %(run_id)s and state = 'failed'
