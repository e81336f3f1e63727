-- name: load_customers
-- Writes the incoming customers that differ from the stored ones and are not older:
-- read_page_customers or read_incoming_customers.
with written as (
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
        app.clean_address(i.email),
        i.display_name,
        i.marketing_state,
        i.tags,
        i.created_at,
        i.shopify_updated_at
    from {incoming} as i
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
        and (
            coalesce(c.shopify_updated_at <= excluded.shopify_updated_at, true)
            -- Dated in the future, so its date says nothing.
            or c.shopify_updated_at > now() + interval '1 day'
        )
        -- Deleted after it was read.
        and coalesce(c.deleted_at < %(read_at)s, true)
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
