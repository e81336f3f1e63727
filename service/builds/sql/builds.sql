-- name: list_due_builds
-- Scheduled builds that are due, or whose process died. Read as quintile_transform.
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
-- Deletes waiting jobs of scheduled builds that the shared build has done. Run as
-- quintile_transform.
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
-- The newest build of the tenants named, or of all; null when it is before a day. Read as
-- quintile_transform.
select max(b.as_of) as as_of
from marts.rfm_builds as b
inner join app.tenants as t on b.tenant_id = t.tenant_id
where
    b.as_of at time zone b.time_zone >= %(last)s::date
    and (%(tenants)s::text[] is null or t.name = any(%(tenants)s));

-- name: list_recorded_instants
-- Instants in RFM history after the start of a day in the tenant's time zone, of the tenants named
-- or of all. Read as quintile_transform.
select distinct h.as_of
from marts.rfm_segment_history as h
inner join app.tenants as t on h.tenant_id = t.tenant_id
inner join marts.rfm_builds as b on h.tenant_id = b.tenant_id
where
    h.as_of at time zone b.time_zone > %(last)s::date
    and (%(tenants)s::text[] is null or t.name = any(%(tenants)s));
