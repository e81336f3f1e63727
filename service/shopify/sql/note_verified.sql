-- The shop has accepted the token just now, and this is what it said of itself.
update app.connections
set
    state = 'active',
    state_reason = null,
    account_name = %(account_name)s,
    scopes = %(scopes)s,
    plan = %(plan)s,
    api_version_asked = %(api_version_asked)s,
    api_version_served = %(api_version_served)s,
    verified_at = now()
where tenant_id = %(tenant_id)s and provider = 'shopify' and state <> 'disconnected'
