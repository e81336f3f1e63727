-- Progress and a sign of life, of the process that began this attempt.
update app.runs
set
    phase = %(phase)s,
    done = %(done)s,
    total = %(total)s,
    counts = %(counts)s,
    heartbeat_at = now()
where
    tenant_id = %(tenant_id)s
    and run_id = %(run_id)s
    and state = 'running'
    and attempts = %(attempt)s
