-- Klaviyo has put these on the list.
update app.klaviyo_ledger
set
    state = 'synced',
    error_code = null,
    error_detail = null,
    refused_hash = null,
    changed_at = now()
where
    tenant_id = %(tenant_id)s
    and config_id = %(config_id)s
    and email = any(%(emails)s)
    and state = 'pending'
