-- name: find_shop
-- The shop an operator has given the tenant.
select shop_domain
from app.tenants
where tenant_id = %(tenant_id)s;

-- name: record_verified
-- The shop has accepted the token just now, and this is what it said of itself.
update app.connections
set
    state = 'active',
    state_reason = null,
    account_name = %(account_name)s,
    scopes = %(scopes)s,
    plan = %(plan)s,
    api_version_asked = %(api_version_asked)s,
    api_version_served = %(api_version_served)s,
    verified_at = now()
where tenant_id = %(tenant_id)s and provider = 'shopify' and state <> 'disconnected';

-- name: update_tenant
-- A tenant counts in its shop's currency and lives in its shop's time zone.
update app.tenants
set currency = %(currency)s, time_zone = %(time_zone)s
where
    tenant_id = %(tenant_id)s
    and (currency, time_zone) is distinct from (%(currency)s, %(time_zone)s);

-- name: find_order_limit
-- Whether a tenant's RFM window reaches further back than the orders its token can read: without
-- read_all_orders they are those of 60 days. All orders read before, or older ones imported, make
-- up for it. No row when nothing is missing.
with oldest as (
    select min(processed_at) as first_order_at
    from shopify.orders
    where tenant_id = %(tenant_id)s and deleted_at is null
)

select
    o.first_order_at,
    s.window_days
from app.connections as c
inner join app.rfm_settings as s on c.tenant_id = s.tenant_id
cross join oldest as o
where
    c.tenant_id = %(tenant_id)s
    and c.provider = 'shopify'
    and c.state <> 'disconnected'
    and c.verified_at is not null
    and 'read_all_orders' <> all(c.scopes)
    and not exists (
        select from shopify.sync_watermarks as w
        where w.tenant_id = %(tenant_id)s and w.resource = 'orders'
    )
    and coalesce(o.first_order_at > now() - make_interval(days => s.window_days), true);

-- name: lease_refresh
-- Makes this process the one that refreshes the token, or for longer, unless another is at it or
-- has done it: then no row comes back. The lease of a process that died ends by itself.
update app.connections
set refresher = %(lease)s, refresher_until = now() + make_interval(secs => %(seconds)s)
where
    tenant_id = %(tenant_id)s
    and provider = 'shopify'
    and sealed_secret = %(sealed_secret)s
    and (refresher is null or refresher = %(lease)s or refresher_until < now())
returning refresher;

-- name: release_refresh
-- Lets another process try to refresh the token.
update app.connections
set refresher = null, refresher_until = null
where tenant_id = %(tenant_id)s and provider = 'shopify' and refresher = %(lease)s;

-- name: store_refreshed
-- Puts a new pair of tokens, whole, in the place of the spent one. Only the holder of the lease
-- may: whoever was connected anew meanwhile keeps what they gave.
update app.connections
set
    sealed_secret = %(sealed_secret)s,
    key_id = %(key_id)s,
    last_four = %(last_four)s,
    access_expires_at = now() + make_interval(secs => %(expires_in)s),
    refresh_expires_at = coalesce(
        now() + make_interval(secs => %(refresh_expires_in)s), refresh_expires_at
    ),
    refresher = null,
    refresher_until = null
where tenant_id = %(tenant_id)s and provider = 'shopify' and refresher = %(lease)s;
