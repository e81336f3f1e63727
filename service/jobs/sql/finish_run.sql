-- End a run, well or not, if it still is the process's that began this attempt.
update app.runs
set
    state = %(state)s,
    done = %(done)s,
    counts = %(counts)s,
    error = %(error)s,
    advice = %(advice)s,
    heartbeat_at = now(),
    finished_at = now()
where
    tenant_id = %(tenant_id)s
    and run_id = %(run_id)s
    and state = 'running'
    and attempts = %(attempt)s
