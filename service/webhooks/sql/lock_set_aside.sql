-- Webhooks that were set aside, one or all, for this transaction to try again.
select
    webhook_id,
    topic,
    kind,
    payload
from app.webhook_events
where
    tenant_id = %(tenant_id)s
    and state = 'set_aside'
    and (%(webhook_id)s::text is null or webhook_id = %(webhook_id)s)
order by received_at, webhook_id
for update
