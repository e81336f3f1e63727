-- Webhooks that were set aside, for the operator: with what they said, if they were not understood.
select
    webhook_id,
    topic,
    attempts,
    reason,
    advice,
    received_at,
    payload
from app.webhook_events
where tenant_id = %(tenant_id)s and state = 'set_aside'
order by received_at, webhook_id
