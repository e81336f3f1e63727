-- Whose run an id names. Read as quintile_owner.
select
    t.tenant_id,
    t.name as tenant
from app.runs as r
inner join app.tenants as t on r.tenant_id = t.tenant_id
where r.run_id = %(run_id)s
