-- name: is_connected
-- Whether the tenant has a connection to a provider, working or refused.
select count(*) > 0 as is_connected
from app.connections
where tenant_id = %(tenant_id)s and provider = %(provider)s and state <> 'disconnected';

-- name: check_readiness
-- Whether the tables that the API reads exist. Reads only the catalog, no tenant's rows.
select
    to_regclass('app.runs') is not null
    and to_regclass('marts.rfm_segments') is not null
    and to_regclass('marts.customer_rfm_segments') is not null
    and to_regclass('marts.sample_orders') is not null as is_built;

-- name: find_shopify_integration
-- A tenant's connection to Shopify, without the secret. Columns are null if it never had one.
select
    t.shop_domain,
    t.currency,
    t.time_zone,
    c.state,
    c.state_reason,
    case when c.state = 'refused' then c.next_probe_at end as next_probe_at,
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
where t.tenant_id = %(tenant_id)s;

-- name: find_klaviyo_integration
-- A tenant's connection to Klaviyo, without the secret. No row if it never had one.
select
    state,
    state_reason,
    case when state = 'refused' then next_probe_at end as next_probe_at,
    account_id,
    account_name,
    nullif(last_four, '') as key_last_four,
    scopes,
    connected_at,
    verified_at
from app.connections
where tenant_id = %(tenant_id)s and provider = 'klaviyo';

-- name: find_tenant
-- The tenant, with the times of its last sync and build.
select
    t.tenant_id,
    t.name,
    t.shop_domain,
    t.currency,
    t.time_zone,
    c.provider is not null as is_shopify_connected,
    (
        select max(r.finished_at)
        from app.runs as r
        where
            r.tenant_id = %(tenant_id)s
            and r.kind = 'shopify_sync'
            and r.state = 'succeeded'
    ) as last_synced_at,
    (
        select max(r.finished_at)
        from app.runs as r
        where
            r.tenant_id = %(tenant_id)s
            and r.kind = 'build'
            and r.state = 'succeeded'
    ) as last_built_at
from app.tenants as t
left join app.connections as c
    on
        t.tenant_id = c.tenant_id
        and c.provider = 'shopify'
        and c.state <> 'disconnected'
where t.tenant_id = %(tenant_id)s;
