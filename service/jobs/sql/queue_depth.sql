-- How many jobs of each queue are due or at work, and how long the oldest due one waits. A job that
-- was put off is not due before its time. Read as quintile_transform.
select
    j.queue_name,
    count(*) filter (where j.status = 'todo') as waiting,
    count(*) filter (where j.status = 'doing') as doing,
    coalesce(
        max(extract(epoch from now() - coalesce(j.scheduled_at, e.deferred_at)))
        filter (where j.status = 'todo'),
        0
    )::float8 as oldest_seconds
from jobs.procrastinate_jobs as j
left join lateral (
    select max(e.at) as deferred_at
    from jobs.procrastinate_events as e
    where e.job_id = j.id and e.type in ('deferred', 'deferred_for_retry')
) as e on true
where
    j.status in ('todo', 'doing')
    and (j.status = 'doing' or j.scheduled_at is null or j.scheduled_at <= now())
group by j.queue_name
order by j.queue_name
