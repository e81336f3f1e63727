-- Webhooks that are due and that no job stands behind.
select
    e.webhook_id,
    e.kind
from app.webhook_events as e
where
    e.tenant_id = %(tenant_id)s
    and e.state = 'queued'
    and e.due_at < now() - interval '10 minutes'
    and not exists (
        select from jobs.procrastinate_jobs as j
        where
            j.args ->> 'tenant_id' = e.tenant_id::text
            and j.status in ('todo', 'doing')
            and j.task_name in ('quintile.webhooks', 'quintile.privacy')
            and coalesce(j.args ->> 'webhook_id', e.webhook_id) = e.webhook_id
    )
