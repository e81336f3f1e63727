-- name: load_bulk_customers
-- Lands a block of a bulk operation's customers: writes a row only when it differs and is not older
-- than ours, as land_customers does.
with incoming as (
    select distinct on (r.customer_id) r.*
    from pg_temp.bulk_customers as r
    where r.block = %(first_block)s
    order by r.customer_id asc, r.shopify_updated_at desc
),

written as (
    insert into shopify.customers as c (
        tenant_id,
        customer_id,
        email,
        display_name,
        marketing_state,
        tags,
        created_at,
        shopify_updated_at
    )
    select
        %(tenant_id)s,
        i.customer_id,
        i.email,
        i.display_name,
        i.marketing_state,
        i.tags,
        i.created_at,
        i.shopify_updated_at
    from incoming as i
    on conflict (tenant_id, customer_id) do update set
        email = excluded.email,
        display_name = excluded.display_name,
        marketing_state = excluded.marketing_state,
        tags = excluded.tags,
        created_at = excluded.created_at,
        shopify_updated_at = excluded.shopify_updated_at,
        landed_at = excluded.landed_at,
        landed_xid = excluded.landed_xid,
        deleted_at = null
    where
        c.tenant_id = %(tenant_id)s
        -- Deleted after the operation began, so that they may still have been listed.
        and coalesce(c.deleted_at < %(noted_at)s, true)
        and coalesce(c.shopify_updated_at <= excluded.shopify_updated_at, true)
        and (
            c.email,
            c.display_name,
            c.marketing_state,
            c.tags,
            c.created_at,
            c.shopify_updated_at,
            c.deleted_at
        ) is distinct from (
            excluded.email,
            excluded.display_name,
            excluded.marketing_state,
            excluded.tags,
            excluded.created_at,
            excluded.shopify_updated_at,
            null::timestamptz
        )
    returning 1
)

select count(*) as written
from written;
