-- Every tenant's connections but those that were given up, for the doctor; read as quintile_owner.
select
    t.tenant_id,
    t.name,
    c.provider,
    c.account_name,
    c.sealed_secret,
    c.key_id,
    c.state,
    c.state_reason,
    c.api_version_asked,
    c.api_version_served,
    c.scopes,
    c.verified_at is not null as is_verified,
    c.verified_at is not null and 'read_all_orders' <> all(c.scopes) as is_limited,
    extract(day from c.refresh_expires_at - now())::int as refresh_days_left
from app.tenants as t
inner join app.connections as c on t.tenant_id = c.tenant_id
where c.state <> 'disconnected'
order by t.name, c.provider
