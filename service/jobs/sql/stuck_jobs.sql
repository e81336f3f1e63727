-- The queue in four figures: jobs that are due and how long the oldest waits, jobs whose worker is
-- gone, and jobs that failed within a day. Read as quintile_transform.
with events as (
    select
        e.job_id,
        max(e.at) filter (where e.type in ('deferred', 'deferred_for_retry')) as deferred_at,
        max(e.at) filter (where e.type = 'failed') as failed_at
    from jobs.procrastinate_events as e
    group by e.job_id
),

jobs as (
    select
        j.id,
        j.task_name,
        j.status,
        e.failed_at,
        extract(epoch from now() - coalesce(j.scheduled_at, e.deferred_at)) as waiting_seconds,
        coalesce(w.last_heartbeat < now() - make_interval(secs => %(stale_after)s), true)
            as is_orphaned
    from jobs.procrastinate_jobs as j
    left join events as e on j.id = e.job_id
    left join jobs.procrastinate_workers as w on j.worker_id = w.id
)

select
    count(*) filter (where status = 'todo' and waiting_seconds >= 0) as waiting,
    coalesce(max(waiting_seconds) filter (where status = 'todo'), 0)::float8 as oldest_seconds,
    count(*) filter (where status = 'doing' and is_orphaned) as orphaned,
    count(*) filter (where status = 'failed' and failed_at > now() - interval '1 day') as failed,
    (
        array_agg(task_name order by failed_at desc)
        filter (where status = 'failed' and failed_at > now() - interval '1 day')
    )[1] as last_failed
from jobs
