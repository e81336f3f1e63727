-- name: find_waiting_notices
-- Whether a waiting job will process the tenant's webhooks. Runs after share_receivers.
select count(*) > 0 as is_waiting
from jobs.procrastinate_jobs as j
where
    j.args ->> 'tenant_id' = %(tenant_id)s::text
    and j.task_name = %(task)s
    and j.status = 'todo'
    and (j.scheduled_at is null or j.scheduled_at <= now());

-- name: share_receivers
-- Keeps the tenant's job from reading webhooks until this transaction ends. A statement of its own:
-- the next one must see what was committed while this one waited.
select pg_advisory_xact_lock_shared(hashtextextended('quintile webhooks ' || %(tenant_id)s, 0));

-- name: wait_for_receivers
-- Waits for the transactions that stored a webhook and rely on the tenant's waiting job.
select pg_advisory_xact_lock(hashtextextended('quintile webhooks ' || %(tenant_id)s, 0));

-- name: count_workers
-- Workers with a heartbeat in the last minute. Read as quintile_transform.
select count(*) as alive
from jobs.procrastinate_workers as w
where w.last_heartbeat > now() - interval '1 minute';

-- name: wake_workers
-- Notifies workers, as procrastinate does, if any job is due.
select pg_notify('procrastinate_any_queue_v1', '{"type": "job_inserted", "job_id": 0}')
where
    exists (
        select from jobs.procrastinate_jobs as j
        where j.status = 'todo' and (j.scheduled_at is null or j.scheduled_at <= now())
    );
