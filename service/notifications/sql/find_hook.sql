-- Where a tenant wants to be told, with the sealed secret.
select
    url,
    sealed_secret,
    key_id,
    last_four,
    created_at
from app.notification_hooks
where tenant_id = %(tenant_id)s
