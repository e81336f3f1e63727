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
    and coalesce(o.first_order_at > now() - make_interval(days => s.window_days), true)
