-- Webhooks whose time has not come: tried again later.
update app.webhook_events
set
    attempts = attempts + 1,
    due_at = now() + make_interval(secs => %(seconds)s),
    reason = %(reason)s
where
    tenant_id = %(tenant_id)s
    and webhook_id = any(%(webhook_ids)s)
    and state = 'queued'
returning due_at
