-- Puts jobs back into the queue whose worker is gone or has not been heard of. Run as
-- quintile_transform with the queue's search path.
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
from stalled as s
