-- A page of runs, newest first, and one row more.
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
where
    tenant_id = %(tenant_id)s
    and (%(kind)s::text is null or kind = %(kind)s)
    and (%(state)s::text is null or state = %(state)s)
    and (%(trigger)s::text is null or trigger = %(trigger)s)
    and (
        %(after_at)s::timestamptz is null
        or (created_at, run_id) < (%(after_at)s, %(after_id)s)
    )
order by created_at desc, run_id desc
limit %(row_limit)s
