-- Tenants with a working connection to their store. Read as quintile_owner.
select
    t.tenant_id,
    t.name
from app.tenants as t
inner join app.connections as c on t.tenant_id = c.tenant_id
where c.provider = 'shopify' and c.state = 'active'
order by t.name
