-- Drops the events of a configuration that have not been sent.
delete from app.klaviyo_events
where
    tenant_id = %(tenant_id)s
    and config_id = %(config_id)s
    and state = 'pending'
