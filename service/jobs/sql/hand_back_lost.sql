-- Puts jobs back into the queue that are marked as a worker's and that it has not got. Run as
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
from lost as l
