-- One run, as the API and the CLI show it.
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
    next_attempt_at
from app.runs
where tenant_id = %(tenant_id)s and run_id = %(run_id)s
