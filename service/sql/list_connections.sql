-- Every tenant's connections, for the doctor; read as quintile_owner.
select
    t.tenant_id,
    t.name,
    c.provider,
    c.account_name,
    c.sealed_secret,
    c.key_id,
    c.state,
    c.state_reason
from app.tenants as t
inner join app.connections as c on t.tenant_id = c.tenant_id
order by t.name, c.provider
