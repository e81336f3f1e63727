-- Put a run back into the queue: it is tried again, or done by another process. What was handed
-- back does not count as an attempt.
update app.runs
set
    state = 'queued',
    phase = null,
    done = 0,
    total = null,
    attempts = attempts - (not %(is_counted)s)::int,
    error = %(error)s,
    advice = %(advice)s,
    next_attempt_at = %(at)s,
    heartbeat_at = null
where
    tenant_id = %(tenant_id)s
    and run_id = %(run_id)s
    and state = 'running'
    and attempts = %(attempt)s
