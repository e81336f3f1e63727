-- Klaviyo has told whose key it is and what it may do.
update app.connections
set
    account_id = %(account_id)s,
    account_name = %(account_name)s,
    scopes = %(scopes)s,
    state = 'active',
    state_reason = null,
    verified_at = now()
where tenant_id = %(tenant_id)s and provider = 'klaviyo' and state <> 'disconnected'
