-- name: lock_credentials
-- Lock a tenant's stored credentials until they are sealed again.
select
    provider,
    key_id,
    sealed_secret
from app.connections
where tenant_id = %(tenant_id)s and sealed_secret is not null
order by provider
for update;

-- name: reseal_credential
-- Store a credential sealed with another key.
update app.connections
set sealed_secret = %(sealed_secret)s, key_id = %(key_id)s
where tenant_id = %(tenant_id)s and provider = %(provider)s;

-- name: lock_hook
-- Lock the secret of a tenant's notification hook until it is sealed again.
select
    'notifications' as provider,
    key_id,
    sealed_secret
from app.notification_hooks
where tenant_id = %(tenant_id)s
for update;

-- name: reseal_hook
-- Store a hook's secret sealed with another key.
update app.notification_hooks
set sealed_secret = %(sealed_secret)s, key_id = %(key_id)s
where tenant_id = %(tenant_id)s;
