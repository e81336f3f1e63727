-- Webhooks that are due, those about the same thing as one: a burst of them is one piece of work.
select
    e.kind,
    e.subject,
    array_agg(e.webhook_id order by e.received_at, e.webhook_id) as webhook_ids,
    max(e.store_updated_at) as store_updated_at,
    max(coalesce(e.triggered_at, e.received_at)) as triggered_at,
    max(e.attempts) as attempts,
    jsonb_agg(distinct e.notice) as notices
from app.webhook_events as e
where
    e.tenant_id = %(tenant_id)s
    and e.state = 'queued'
    and e.due_at <= now()
    and e.kind <> all(%(other_kinds)s)
group by e.kind, e.subject
order by min(e.received_at), e.kind, e.subject
limit %(row_limit)s
