-- name: fetch_job
-- Marks the next job for a worker as started, and returns it. The highest priority goes first: jobs
-- that people wait for, then webhooks, then schedules. Among them, the tenant with the fewest
-- running jobs goes first, then the tenant that was served longest ago.
--
-- A worker keeps one slot for people, one free of any one kind of job, and half of its slots free
-- of any one tenant; it also keeps one build for people. Two jobs with the same lock never run at
-- once. Run as quintile_transform, after lock_fetch.
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
        count(*) filter (where d.priority < %(person_priority)s) as background,
        count(*) filter (where d.is_build) as builds,
        count(*) filter (where d.is_build and d.priority < %(person_priority)s) as background_builds
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
        j.priority < %(person_priority)s as is_background
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
        and (not w.is_background or mine.background < %(background_slots)s)
        and case
            when not w.is_build then coalesce(tasks.jobs, 0) < %(kind_slots)s
            when w.is_background then mine.background_builds < %(background_builds)s
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

served as (
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
-- Lets one worker at a time choose its next job.
select pg_advisory_xact_lock(hashtextextended('quintile fetch', 0));
