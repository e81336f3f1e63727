-- The currency of the tenant's shop, if it is known.
select currency
from app.tenants
where tenant_id = %(tenant_id)s
