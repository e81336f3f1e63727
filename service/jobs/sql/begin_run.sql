-- Take a queued run, or one whose process died; no row when somebody else has it.
update app.runs
set
    state = 'running',
    attempts = attempts + 1,
    started_at = coalesce(started_at, now()),
    heartbeat_at = now(),
    error = null,
    advice = null,
    next_attempt_at = null
where
    tenant_id = %(tenant_id)s
    and run_id = %(run_id)s
    and (
        state = 'queued'
        or (
            state = 'running'
            and heartbeat_at < now() - make_interval(secs => %(stale_after)s)
        )
    )
    -- Two of a kind never run at once, whoever started them.
    and not exists (
        select from app.runs as other
        where
            other.tenant_id = %(tenant_id)s
            and other.kind = runs.kind
            and other.state = 'running'
            and other.run_id <> %(run_id)s
    )
returning kind, attempts
