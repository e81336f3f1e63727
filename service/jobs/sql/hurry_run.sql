-- A run that waits is wanted now; whether it is one that waits.
update app.runs
set next_attempt_at = null
where tenant_id = %(tenant_id)s and run_id = %(run_id)s and state = 'queued'
returning run_id
