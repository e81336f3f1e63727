-- Klaviyo has taken these off the list.
delete from app.klaviyo_ledger
where
    tenant_id = %(tenant_id)s
    and config_id = %(config_id)s
    and email = any(%(emails)s)
