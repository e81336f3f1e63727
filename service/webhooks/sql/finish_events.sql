-- Webhooks that have been worked through: what they were about is forgotten.
update app.webhook_events
set
    state = 'done',
    subject = null,
    notice = null,
    payload = null,
    reason = %(reason)s,
    advice = null,
    finished_at = now()
where
    tenant_id = %(tenant_id)s
    and webhook_id = any(%(webhook_ids)s)
    and state = 'queued'
