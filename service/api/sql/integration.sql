-- A tenant's connection to its store, without the secret; nulls while there has been none.
select
    t.shop_domain,
    t.currency,
    t.time_zone,
    c.state,
    c.state_reason,
    c.account_name as shop_name,
    c.plan,
    nullif(c.last_four, '') as token_last_four,
    c.access_expires_at is not null as is_token_expiring,
    c.refresh_expires_at,
    c.scopes,
    c.api_version_asked,
    c.api_version_served as api_version,
    c.connected_at,
    c.verified_at
from app.tenants as t
left join app.connections as c on t.tenant_id = c.tenant_id and c.provider = 'shopify'
where t.tenant_id = %(tenant_id)s
