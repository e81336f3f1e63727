-- name: find_shop
-- The tenant's shop domain, which an operator has set.
select shop_domain
from app.tenants
where tenant_id = %(tenant_id)s;

-- name: find_shop_id
-- The id of the tenant's shop, which stays when its domain changes; no row before a connection.
select account_id as shop_id
from app.connections
where tenant_id = %(tenant_id)s and provider = 'shopify';

-- name: change_domain
-- Gives a tenant the new domain of its shop.
update app.tenants
set shop_domain = %(shop)s
where tenant_id = %(tenant_id)s;

-- name: record_verified
-- Records that the shop has just accepted the token, and what it answered.
update app.connections
set
    state = 'active',
    state_reason = null,
    account_id = %(account_id)s,
    account_name = %(account_name)s,
    scopes = %(scopes)s,
    plan = %(plan)s,
    api_version_asked = %(api_version_asked)s,
    api_version_served = %(api_version_served)s,
    verified_at = now()
where tenant_id = %(tenant_id)s and provider = 'shopify' and state <> 'disconnected';

-- name: update_tenant
-- Gives the tenant its shop's currency and time zone, and its country if the shop tells it.
update app.tenants
set
    currency = %(currency)s,
    time_zone = %(time_zone)s,
    country = coalesce(%(country)s, country)
where
    tenant_id = %(tenant_id)s
    and (currency, time_zone, country)
    is distinct from (%(currency)s, %(time_zone)s, coalesce(%(country)s, country));

-- name: find_order_limit
-- Whether a tenant's RFM window reaches further back than its orders: without read_all_orders a
-- token reads only 60 days. No row if nothing is missing, for example because all orders were read
-- before or older ones were imported.
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
-- Takes or renews the lease to refresh the token. Updates no row if another process has the lease
-- or has refreshed the token. The lease of a dead process expires.
update app.connections
set refresher = %(lease)s, refresher_until = now() + make_interval(secs => %(seconds)s)
where
    tenant_id = %(tenant_id)s
    and provider = 'shopify'
    and sealed_secret = %(sealed_secret)s
    and (refresher is null or refresher = %(lease)s or refresher_until < now());

-- name: release_refresh
-- Releases the lease to refresh the token.
update app.connections
set refresher = null, refresher_until = null
where tenant_id = %(tenant_id)s and provider = 'shopify' and refresher = %(lease)s;

-- name: store_refreshed
-- Replaces the spent pair of tokens by a new one. Only the holder of the lease may: a connection
-- made in the meantime stays as it is.
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
