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

-- name: lock_webhook_secrets
-- Lock the secrets of a tenant's webhook endpoints until they are sealed again.
select
    'notifications' as provider,
    secret_id,
    key_id,
    sealed_secret
from app.webhook_secrets
where tenant_id = %(tenant_id)s
order by secret_id
for update;

-- name: reseal_webhook_secret
-- Store an endpoint's secret sealed with another key.
update app.webhook_secrets
set sealed_secret = %(sealed_secret)s, key_id = %(key_id)s
where tenant_id = %(tenant_id)s and secret_id = %(secret_id)s;
