-- How many seconds a run that is not over has to wait before it may be begun: until its next
-- attempt, or a while when a run of its kind is at work, maybe this very one in another process.
select
    case
        when
            exists (
                select from app.runs as b
                where
                    b.tenant_id = %(tenant_id)s
                    and b.kind = r.kind
                    and b.state = 'running'
                    and (
                        b.run_id <> r.run_id
                        or b.heartbeat_at >= now() - make_interval(secs => %(stale_after)s)
                    )
            )
            then %(busy_seconds)s::double precision
        else greatest(extract(epoch from r.next_attempt_at - now()), 0)::double precision
    end as seconds
from app.runs as r
where
    r.tenant_id = %(tenant_id)s
    and r.run_id = %(run_id)s
    and r.state in ('queued', 'running')
