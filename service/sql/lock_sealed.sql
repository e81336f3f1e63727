-- A tenant's stored secrets, which nobody else may change until they are sealed anew.
select
    provider,
    key_id,
    sealed_secret
from app.connections
where tenant_id = %(tenant_id)s and sealed_secret is not null
order by provider
for update
