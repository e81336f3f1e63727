-- Webhooks that could not be worked through, kept with the reason and what to do about it.
update app.webhook_events
set
    state = 'set_aside',
    attempts = attempts + 1,
    reason = %(reason)s,
    advice = %(advice)s,
    finished_at = now()
where
    tenant_id = %(tenant_id)s
    and webhook_id = any(%(webhook_ids)s)
    and state = 'queued'
