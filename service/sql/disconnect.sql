-- Forgets the secret and all that was told with it; that the tenant was connected stays known.
update app.connections
set
    state = 'disconnected',
    state_reason = %(reason)s,
    sealed_secret = null,
    key_id = null,
    last_four = '',
    scopes = '{}',
    access_expires_at = null,
    refresh_expires_at = null,
    refresher = null,
    refresher_until = null
where tenant_id = %(tenant_id)s and provider = %(provider)s and state <> 'disconnected'
returning provider
