-- A privacy request that waits to be met.
select
    topic,
    kind,
    subject,
    notice,
    coalesce(triggered_at, received_at) as requested_at,
    attempts
from app.webhook_events
where tenant_id = %(tenant_id)s and webhook_id = %(webhook_id)s and state = 'queued'
