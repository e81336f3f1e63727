-- name: list_due_builds
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
order by r.created_at, t.name;

-- name: delete_done_builds
-- Deletes the jobs of scheduled builds that another job has done. Run as quintile_transform.
delete from jobs.procrastinate_jobs as j
using app.runs as r
where
    j.task_name = 'quintile.build_due'
    and j.status = 'todo'
    and j.args ->> 'tenant_id' = any(%(tenant_ids)s)
    and r.tenant_id::text = j.args ->> 'tenant_id'
    and r.run_id::text = j.args ->> 'run_id'
    and r.state in ('succeeded', 'failed');

-- name: find_newest_build
-- The newest instant built of the tenants named or of all; null when none is as late as a day. Read
-- as quintile_transform.
select max(b.as_of) as as_of
from marts.rfm_builds as b
inner join app.tenants as t on b.tenant_id = t.tenant_id
where
    b.as_of at time zone b.time_zone >= %(last)s::date
    and (%(tenants)s::text[] is null or t.name = any(%(tenants)s));

-- name: list_recorded_instants
-- Instants in RFM history after the midnight with which a day begins by the tenant's clock, of the
-- tenants named or of all. Read as quintile_transform.
select distinct h.as_of
from marts.rfm_segment_history as h
inner join app.tenants as t on h.tenant_id = t.tenant_id
inner join marts.rfm_builds as b on h.tenant_id = b.tenant_id
where
    h.as_of at time zone b.time_zone > %(last)s::date
    and (%(tenants)s::text[] is null or t.name = any(%(tenants)s));
