-- Klaviyo has taken what was told anew about these, and an earlier complaint is over.
update app.klaviyo_ledger
set error_code = null, error_detail = null
where
    tenant_id = %(tenant_id)s
    and config_id = %(config_id)s
    and email = any(%(emails)s)
    and state <> 'rejected'
    and error_code is not null
