-- The run that is queued or running now.
select
    run_id,
    kind,
    trigger,
    state,
    phase,
    done,
    total,
    counts,
    error,
    advice,
    created_at,
    started_at,
    finished_at
from app.runs
where tenant_id = %(tenant_id)s and kind = %(kind)s and state in ('queued', 'running')
