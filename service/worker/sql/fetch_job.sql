-- name: fetch_job
-- The next job for a worker, marked as begun: what people wait for before what schedules start,
-- then the tenant that has fewest jobs at work, then the one that has waited longest.
--
-- One of a worker's slots is kept for people, one from any one kind of job, and half of them from
-- any one tenant; one of its builds is kept for people as well. Two jobs of one lock never run at
-- once. Run as quintile_transform, after fetch_lock.
with doing as (
    select
        j.worker_id,
        j.lock,
        j.task_name,
        j.priority,
        j.args ->> 'tenant_id' as tenant_id,
        j.task_name = any(%(builds)s) as is_build
    from jobs.procrastinate_jobs as j
    where j.status = 'doing'
),

mine as (
    select
        count(*) filter (where d.priority < %(asked)s) as unasked,
        count(*) filter (where d.is_build) as builds,
        count(*) filter (where d.is_build and d.priority < %(asked)s) as unasked_builds
    from doing as d
    where d.worker_id = %(worker_id)s
),

tenants as (
    select
        d.tenant_id,
        count(*) as jobs,
        count(*) filter (where d.worker_id = %(worker_id)s) as jobs_here
    from doing as d
    group by d.tenant_id
),

tasks as (
    select
        d.task_name,
        count(*) as jobs
    from doing as d
    where d.worker_id = %(worker_id)s
    group by d.task_name
),

waiting as (
    select
        j.id,
        j.priority,
        j.task_name,
        j.args ->> 'tenant_id' as tenant_id,
        j.task_name = any(%(builds)s) as is_build,
        j.priority < %(asked)s as is_unasked
    from jobs.procrastinate_jobs as j
    where
        j.status = 'todo'
        and (j.scheduled_at is null or j.scheduled_at <= now())
        and (%(queues)s::text[] is null or j.queue_name = any(%(queues)s))
        and not exists (select from doing as d where d.lock = j.lock)
),

chosen as (
    select w.id
    from waiting as w
    cross join mine
    left join tenants on w.tenant_id = tenants.tenant_id
    left join tasks on w.task_name = tasks.task_name
    left join app.turns as t on w.tenant_id = t.tenant_id::text
    where
        coalesce(tenants.jobs_here, 0) < %(tenant_slots)s
        and (not w.is_unasked or mine.unasked < %(unasked_slots)s)
        and case
            when not w.is_build then coalesce(tasks.jobs, 0) < %(kind_slots)s
            when w.is_unasked then mine.unasked_builds < %(unasked_builds)s
            else true
        end
        and (not w.is_build or mine.builds < %(build_slots)s)
    order by
        w.priority desc,
        coalesce(tenants.jobs, 0) asc,
        t.taken_at asc nulls first,
        w.id asc
    limit 1
),

taken as (
    update jobs.procrastinate_jobs as j
    set status = 'doing', worker_id = %(worker_id)s
    from chosen
    where j.id = chosen.id and j.status = 'todo'
    returning j.*
),

turn as (
    insert into app.turns as t (tenant_id, taken_at)
    select
        n.tenant_id,
        clock_timestamp()
    from taken
    inner join app.tenants as n on taken.args ->> 'tenant_id' = n.tenant_id::text
    on conflict (tenant_id) do update
    set taken_at = excluded.taken_at
)

select
    taken.id,
    taken.status,
    taken.task_name,
    taken.priority,
    taken.lock,
    taken.queueing_lock,
    taken.args,
    taken.scheduled_at,
    taken.queue_name,
    taken.attempts,
    taken.worker_id
from taken;

-- name: lock_fetch
-- One worker at a time looks for its next job, so that none looks at what another is taking.
select pg_advisory_xact_lock(hashtextextended('quintile fetch', 0));
