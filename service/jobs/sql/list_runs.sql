-- Runs of one tenant or of all, newest first, for the operator. Read as quintile_owner.
select
    t.name as tenant,
    r.run_id,
    r.kind,
    r.trigger,
    r.state,
    r.phase,
    r.done,
    r.total,
    r.counts,
    r.attempts,
    r.error,
    r.advice,
    r.created_at,
    r.started_at,
    r.finished_at,
    r.next_attempt_at,
    coalesce(r.state = 'running' and r.heartbeat_at < now() - interval '1 minute', false)
        as is_silent
from app.runs as r
inner join app.tenants as t on r.tenant_id = t.tenant_id
where
    (%(tenant_id)s::uuid is null or r.tenant_id = %(tenant_id)s)
    and (%(kind)s::text is null or r.kind = %(kind)s)
    and (%(state)s::text is null or r.state = %(state)s)
    and (%(trigger)s::text is null or r.trigger = %(trigger)s)
order by r.created_at desc, t.name asc, r.run_id asc
limit %(row_limit)s
