-- The provider no longer accepts the credential.
update app.connections
set state = 'refused', state_reason = %(reason)s
where tenant_id = %(tenant_id)s and provider = %(provider)s and state <> 'disconnected'
