-- A webhook that is still not understood.
update app.webhook_events
set attempts = attempts + 1, reason = %(reason)s
where tenant_id = %(tenant_id)s and webhook_id = %(webhook_id)s
returning webhook_id, topic, state, attempts, reason, advice, received_at, triggered_at
