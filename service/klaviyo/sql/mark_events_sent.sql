-- Klaviyo has these events.
update app.klaviyo_events
set state = 'sent', sent_at = now()
where tenant_id = %(tenant_id)s and event_id = any(%(event_ids)s) and state = 'pending'
