-- A hook's sealed secret, which nobody else may change until it is sealed anew.
select
    'notifications' as provider,
    key_id,
    sealed_secret
from app.notification_hooks
where tenant_id = %(tenant_id)s
for update
