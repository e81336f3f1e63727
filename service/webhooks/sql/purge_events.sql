-- Forgets webhooks that ended long ago. Privacy requests that have not been met stay.
delete from app.webhook_events
where
    tenant_id = %(tenant_id)s
    and state <> 'queued'
    and finished_at < now() - make_interval(days => %(days)s)
    and (state = 'done' or kind is null or kind <> all(%(privacy_kinds)s))
