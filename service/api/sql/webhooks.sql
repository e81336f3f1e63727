-- Webhooks that were set aside, newest first. Not what they said, which may be about a person.
select
    webhook_id,
    topic,
    state,
    attempts,
    reason,
    advice,
    received_at,
    triggered_at
from app.webhook_events
where
    tenant_id = %(tenant_id)s
    and state = 'set_aside'
    and (%(topic)s::text is null or topic = %(topic)s)
    and (
        %(after_at)s::timestamptz is null
        or (received_at, webhook_id) < (%(after_at)s, %(after_id)s)
    )
order by received_at desc, webhook_id desc
limit %(row_limit)s
