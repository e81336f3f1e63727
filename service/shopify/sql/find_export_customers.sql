-- Tells whose the orders of Shopify's export are, which has addresses and no ids: the landed
-- customer's who has the address; else whose a file with ids has said the order is; else an id made
-- of the address. Without an address an order is a guest's.
with known as (
    select distinct on (app.customer_id_of_address(c.email))
        app.customer_id_of_address(c.email) as made_id,
        c.customer_id
    from shopify.customers as c
    where c.tenant_id = %(tenant_id)s and c.deleted_at is null and c.email is not null
    order by
        app.customer_id_of_address(c.email) asc,
        c.shopify_updated_at desc nulls last,
        c.customer_id asc
),

found as (
    select
        l.line_number,
        coalesce(
            k.customer_id,
            o.customer_id,
            app.customer_id_of_address(l.customer_email)
        ) as customer_id
    from pg_temp.csv_orders as l
    left join known as k on app.customer_id_of_address(l.customer_email) = k.made_id
    left join shopify.orders as o
        on
            o.tenant_id = %(tenant_id)s
            and l.order_id = o.order_id
            and o.customer_id not like 'email:%%'
    where l.reason is null and l.customer_email is not null
)

update pg_temp.csv_orders as l
set customer_id = f.customer_id
from found as f
where l.line_number = f.line_number
