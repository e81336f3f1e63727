-- Every tenant, for the operator.
select
    t.tenant_id,
    t.name,
    t.shop_domain,
    t.currency,
    t.time_zone,
    array(
        select c.provider
        from app.connections as c
        where c.tenant_id = t.tenant_id and c.state <> 'disconnected'
        order by c.provider
    ) as connected
from app.tenants as t
order by t.name
