-- Forgets events that were sent, or refused, long enough ago.
delete from app.klaviyo_events
where
    tenant_id = %(tenant_id)s
    and state <> 'pending'
    and coalesce(sent_at, occurred_at) < now() - make_interval(days => %(days)s)
