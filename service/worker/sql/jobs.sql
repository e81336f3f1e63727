-- name: return_lost_jobs
-- Returns jobs to the queue that are marked as a worker's, but that it does not have. Run as
-- quintile_transform with the queue's search path.
with lost as (
    select j.id
    from jobs.procrastinate_jobs as j
    where
        j.status = 'doing'
        and j.worker_id = %(worker_id)s
        and j.id <> all(%(held)s::bigint[])
    for update of j skip locked
)

select
    l.id,
    jobs.procrastinate_retry_job_v2(l.id, now(), null, null, null)::text as retried
from lost as l;

-- name: requeue_stalled_jobs
-- Returns jobs to the queue whose worker is gone or sends no heartbeats. Run as quintile_transform
-- with the queue's search path.
with stalled as (
    select
        j.id,
        j.task_name
    from jobs.procrastinate_jobs as j
    left join jobs.procrastinate_workers as w on j.worker_id = w.id
    where
        j.status = 'doing'
        and (
            w.id is null
            or w.last_heartbeat < now() - make_interval(secs => %(seconds)s)
        )
    for update of j skip locked
)

select
    s.id,
    s.task_name,
    jobs.procrastinate_retry_job_v2(s.id, now(), null, null, null)::text as retried
from stalled as s;

-- name: has_due_jobs
-- Whether a job waits that may start now. Read as quintile_transform.
select count(*) > 0 as has_due_jobs
from jobs.procrastinate_jobs as j
where j.status = 'todo' and (j.scheduled_at is null or j.scheduled_at <= now());

-- name: seconds_until_run
-- Seconds until an unfinished run may start: until its next attempt, or busy_seconds while a run of
-- its kind is running, which may be the same run in another process.
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
    and r.state in ('queued', 'running');

-- name: find_tenant_name
-- Name of a tenant, for dbt's var.
select name from app.tenants where tenant_id = %(tenant_id)s;

-- name: find_due_schedules
-- Tenants' schedules that have come due since they were last served, given the newest time of each
-- schedule, for all tenants or those of one time zone. They start with the tenant's creation.
-- Paused ones, and those whose provider is not connected, are not due; those of a refused
-- connection are from its next probe on. Read as quintile_transform.
select
    t.tenant_id,
    d.name,
    d.due_at
from unnest(
    %(names)s::text[], %(providers)s::text[], %(zones)s::text[], %(times)s::timestamptz[]
) as d (name, provider, time_zone, due_at)
inner join app.tenants as t
    on d.time_zone is null or d.time_zone = t.time_zone
left join app.schedules as s
    on t.tenant_id = s.tenant_id and d.name = s.name
left join app.scheduled_connections as c
    on t.tenant_id = c.tenant_id and d.provider = c.provider
where
    s.paused_at is null
    and coalesce(s.served_at, t.created_at) < d.due_at
    and (d.provider is null or c.provider is not null)
    and coalesce(c.next_probe_at <= %(now)s, true)
order by d.due_at, d.name, t.tenant_id;

-- name: serve_schedule
-- Records that a schedule was served; no row if that is recorded, or the schedule is paused.
insert into app.schedules as s (tenant_id, name, served_at)
values (%(tenant_id)s, %(name)s, %(due_at)s)
on conflict (tenant_id, name) do update
set served_at = excluded.served_at
where s.paused_at is null and coalesce(s.served_at, '-infinity') < excluded.served_at
returning s.name;

-- name: find_due_probes
-- Refused connections that are due to be tried again. Read as quintile_transform.
select
    c.tenant_id,
    c.provider
from app.scheduled_connections as c
where c.is_refused and coalesce(c.next_probe_at <= %(now)s, true)
order by c.next_probe_at, c.tenant_id, c.provider;

-- name: claim_probe
-- Takes a probe that is due and sets the time of the next one, four times as far away as the last
-- one was; no row if another worker has taken it, or the connection is no longer refused.
update app.connections as c
set
    probes = c.probes + 1,
    next_probe_at = %(now)s + least(%(first_pause)s * 4 ^ least(c.probes + 1, 9), %(longest_pause)s)
where
    c.tenant_id = %(tenant_id)s
    and c.provider = %(provider)s
    and c.state = 'refused'
    and coalesce(c.next_probe_at <= %(now)s, true)
returning c.provider;

-- name: list_dead_runs
-- Dead runs: without a heartbeat (or, if queued, created) for a while, and without a job. Read as
-- quintile_transform.
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
order by r.created_at;

-- name: close_dead_run
-- Closes a run found by list_dead_runs, unless it has had a heartbeat or a job since.
update app.runs as r
set
    state = 'failed',
    error = 'The process of this run ended without finishing it.',
    advice = 'Start it again; it resumes where it stopped.',
    finished_at = now(),
    next_attempt_at = null
where
    r.tenant_id = %(tenant_id)s
    and r.run_id = %(run_id)s
    and r.state in ('queued', 'running')
    and coalesce(r.heartbeat_at, r.created_at) < now() - make_interval(secs => %(stale_after)s)
    and not exists (
        select from jobs.procrastinate_jobs as j
        where
            j.args ->> 'tenant_id' = r.tenant_id::text
            and j.args ->> 'run_id' = r.run_id::text
            and j.status in ('todo', 'doing')
    )
returning
    r.kind,
    extract(epoch from r.finished_at - coalesce(r.started_at, r.created_at))::float8 as seconds;

-- name: purge_runs
-- Deletes runs that ended long ago, except the last success of each kind, which shows freshness.
delete from app.runs as r
where
    r.tenant_id = %(tenant_id)s
    and r.finished_at < now() - make_interval(days => %(days)s)
    and (
        r.state = 'failed'
        or exists (
            select from app.runs as newer
            where
                newer.tenant_id = %(tenant_id)s
                and newer.kind = r.kind
                and newer.state = 'succeeded'
                and newer.finished_at > r.finished_at
        )
    );
