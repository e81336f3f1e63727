-- The sealed credential of one connection; none while the tenant is disconnected.
select
    sealed_secret,
    key_id,
    account_id,
    extract(epoch from access_expires_at - now()) as seconds_left
from app.connections
where
    tenant_id = %(tenant_id)s
    and provider = %(provider)s
    and state <> 'disconnected'
