-- The run that is queued or running now; the waiting one if there are both.
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
where tenant_id = %(tenant_id)s and kind = %(kind)s and state in ('queued', 'running')
order by state
limit 1
