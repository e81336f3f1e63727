-- Gives the orders that came from Shopify's export, under an id made of an address, to the customer
-- who has landed with that address since.
with known as (
    select distinct on (app.customer_id_of_address(c.email))
        app.customer_id_of_address(c.email) as made_id,
        c.customer_id
    from shopify.customers as c
    where
        c.tenant_id = %(tenant_id)s
        and c.deleted_at is null
        and c.email is not null
        -- Nearly always there is no such order, and then no customer is looked at.
        and exists (
            select from shopify.orders as o
            where o.tenant_id = %(tenant_id)s and o.customer_id like 'email:%%'
        )
    order by
        app.customer_id_of_address(c.email) asc,
        c.shopify_updated_at desc nulls last,
        c.customer_id asc
),

adopted as (
    update shopify.orders as o
    set
        customer_id = k.customer_id,
        former_customer_ids = array_append(o.former_customer_ids, o.customer_id),
        landed_at = now(),
        landed_xid = default
    from known as k
    where
        o.tenant_id = %(tenant_id)s
        and o.customer_id like 'email:%%'
        and o.customer_id = k.made_id
    returning 1
)

select count(*) as written
from adopted
