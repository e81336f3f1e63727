-- name: find_waiting_notices
-- Whether a job waits that will work through the tenant's webhooks. Asked after share_receivers.
select count(*) > 0 as is_waiting
from jobs.procrastinate_jobs as j
where
    j.args ->> 'tenant_id' = %(tenant_id)s::text
    and j.task_name = %(task)s
    and j.status = 'todo'
    and (j.scheduled_at is null or j.scheduled_at <= now());

-- name: share_receivers
-- From here to the end of this transaction no job of the tenant looks for its webhooks. A statement
-- of its own, for the next one has to see what was committed while this one waited.
select pg_advisory_xact_lock_shared(hashtextextended('quintile webhooks ' || %(tenant_id)s, 0));

-- name: wait_for_receivers
-- Waits for all transactions that have found the tenant's job waiting and not ended yet.
select pg_advisory_xact_lock(hashtextextended('quintile webhooks ' || %(tenant_id)s, 0));

-- name: count_workers
-- Workers that gave a sign of life within the last minute. Read as quintile_transform.
select count(*) as alive
from jobs.procrastinate_workers as w
where w.last_heartbeat > now() - interval '1 minute';

-- name: wake_workers
-- Tells workers to look for jobs again, in the queue's own words, if any is due.
select pg_notify('procrastinate_any_queue_v1', '{"type": "job_inserted", "job_id": 0}')
where
    exists (
        select from jobs.procrastinate_jobs as j
        where j.status = 'todo' and (j.scheduled_at is null or j.scheduled_at <= now())
    );
