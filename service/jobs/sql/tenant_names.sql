-- Names of the tenants that a build is for, as dbt's vars take them.
select name
from app.tenants
where tenant_id = any(%(tenant_ids)s)
order by name
