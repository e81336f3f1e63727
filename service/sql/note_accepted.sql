-- The provider has accepted the credential just now.
update app.connections
set
    state = 'active',
    state_reason = null,
    verified_at = now()
where tenant_id = %(tenant_id)s and provider = %(provider)s and state <> 'disconnected'
