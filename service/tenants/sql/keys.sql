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

-- name: lock_exports
-- Lock a tenant's answers to data requests until they are sealed again.
select
    'privacy export' as provider,
    export_id,
    key_id,
    sealed_document as sealed_secret
from app.privacy_exports
where tenant_id = %(tenant_id)s and expires_at > now()
order by export_id
for update;

-- name: reseal_export
-- Store an answer to a data request sealed with another key.
update app.privacy_exports
set sealed_document = %(sealed_secret)s, key_id = %(key_id)s
where tenant_id = %(tenant_id)s and export_id = %(export_id)s;

-- name: lock_answers
-- Lock the stored answers to a tenant's requests with an Idempotency-Key until they are sealed
-- again.
select
    'answer' as provider,
    credential,
    request_key,
    key_id,
    sealed_secret
from app.idempotent_requests
where tenant_id = %(tenant_id)s and sealed_secret is not null
order by credential, request_key
for update;

-- name: reseal_answer
-- Store an answer sealed with another key.
update app.idempotent_requests
set sealed_secret = %(sealed_secret)s, key_id = %(key_id)s
where
    tenant_id = %(tenant_id)s
    and credential = %(credential)s
    and request_key = %(request_key)s;
