-- Whether a job waits that will work through the tenant's webhooks. Asked after share_receivers.
select count(*) > 0 as is_waiting
from jobs.procrastinate_jobs as j
where
    j.args ->> 'tenant_id' = %(tenant_id)s::text
    and j.task_name = %(task)s
    and j.status = 'todo'
    and (j.scheduled_at is null or j.scheduled_at <= now())
