-- Runs that nobody does and nobody will: at work and not heard of for a while, or waiting for a
-- while, with no job that would take them up. Read as quintile_transform.
select
    r.tenant_id,
    r.run_id
from app.runs as r
where
    r.state in ('queued', 'running')
    and coalesce(r.heartbeat_at, r.created_at) < now() - make_interval(secs => %(stale_after)s)
    and not exists (
        select from jobs.procrastinate_jobs as j
        where
            j.args ->> 'tenant_id' = r.tenant_id::text
            and j.args ->> 'run_id' = r.run_id::text
            and j.status in ('todo', 'doing')
    )
order by r.created_at
