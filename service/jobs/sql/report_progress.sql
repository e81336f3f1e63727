-- Progress and a sign of life.
update app.runs
set
    phase = %(phase)s,
    done = %(done)s,
    total = %(total)s,
    counts = %(counts)s,
    heartbeat_at = now()
where tenant_id = %(tenant_id)s and run_id = %(run_id)s and state = 'running'
