-- Scheduled builds that wait and whose turn it is, or whose process died. Read as
-- quintile_transform.
select
    r.tenant_id,
    r.run_id,
    t.name
from app.runs as r
inner join app.tenants as t on r.tenant_id = t.tenant_id
where
    r.kind = 'build'
    and r.trigger = 'schedule'
    and (
        (r.state = 'queued' and coalesce(r.next_attempt_at, now()) <= now())
        or (
            r.state = 'running'
            and r.heartbeat_at < now() - make_interval(secs => %(stale_after)s)
        )
    )
order by r.created_at, t.name
