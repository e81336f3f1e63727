-- A run that waits is wanted now; whether it is one that waits, and no job is there that would do
-- it at once, as after a second click.
update app.runs as r
set next_attempt_at = null
where
    r.tenant_id = %(tenant_id)s
    and r.run_id = %(run_id)s
    and r.state = 'queued'
    and not exists (
        select from jobs.procrastinate_jobs as j
        where
            j.args ->> 'tenant_id' = r.tenant_id::text
            and j.args ->> 'run_id' = r.run_id::text
            and j.status = 'todo'
            and j.priority >= %(asked)s
            and (j.scheduled_at is null or j.scheduled_at <= now())
    )
returning r.run_id
