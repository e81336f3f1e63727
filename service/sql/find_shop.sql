-- The shop an operator has given the tenant.
select shop_domain
from app.tenants
where tenant_id = %(tenant_id)s
