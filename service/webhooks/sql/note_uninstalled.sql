-- The store has removed the app: the token is forgotten, and no sync runs until it is connected
-- again. A connection that was made after that stays.
update app.connections
set
    state = 'disconnected',
    state_reason = 'The app was removed from the store.',
    sealed_secret = null,
    key_id = null,
    last_four = '',
    scopes = '{}',
    token_kind = 'permanent',
    access_expires_at = null,
    refresh_expires_at = null,
    refresher = null,
    refresher_until = null,
    uninstalled_at = %(triggered_at)s
where
    tenant_id = %(tenant_id)s
    and provider = 'shopify'
    and uninstalled_at is null
    and connected_at <= %(triggered_at)s
returning provider
