-- One run, as the API and the CLI show it. Whoever is at a run is heard of several times a minute.
select
    run_id,
    kind,
    trigger,
    state,
    phase,
    done,
    total,
    counts,
    attempts,
    error,
    advice,
    created_at,
    started_at,
    finished_at,
    next_attempt_at,
    coalesce(state = 'running' and heartbeat_at < now() - interval '1 minute', false) as is_silent
from app.runs
where tenant_id = %(tenant_id)s and run_id = %(run_id)s
