-- Begins a webhook that was set aside anew.
update app.webhook_events
set
    state = 'queued',
    attempts = 0,
    due_at = now(),
    reason = null,
    advice = null,
    finished_at = null
where tenant_id = %(tenant_id)s and webhook_id = %(webhook_id)s
returning webhook_id, topic, state, attempts, reason, advice, received_at, triggered_at
