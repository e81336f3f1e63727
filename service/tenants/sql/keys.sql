-- name: lock_credentials
-- A tenant's stored secrets, which nobody else may change until they are sealed anew.
select
    provider,
    key_id,
    sealed_secret
from app.connections
where tenant_id = %(tenant_id)s and sealed_secret is not null
order by provider
for update;

-- name: reseal_credential
-- The same secret, sealed with another key.
update app.connections
set sealed_secret = %(sealed_secret)s, key_id = %(key_id)s
where tenant_id = %(tenant_id)s and provider = %(provider)s;

-- name: lock_hook
-- A hook's sealed secret, which nobody else may change until it is sealed anew.
select
    'notifications' as provider,
    key_id,
    sealed_secret
from app.notification_hooks
where tenant_id = %(tenant_id)s
for update;

-- name: reseal_hook
-- The same secret, sealed with another key.
update app.notification_hooks
set sealed_secret = %(sealed_secret)s, key_id = %(key_id)s
where tenant_id = %(tenant_id)s;
