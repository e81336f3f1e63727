-- Whether something built is there of tenants that are not. Read as quintile_transform.
select count(*) > 0 as is_so
from marts.rfm_builds as b
where not exists (select from app.tenants as t where t.tenant_id = b.tenant_id)
