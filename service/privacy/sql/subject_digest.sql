-- By what a customer is known after everything about them is gone.
select app.erasure_digest(k.erasure_key, 'customer', %(customer_id)s) as digest
from app.erasure_keys as k
where k.tenant_id = %(tenant_id)s
