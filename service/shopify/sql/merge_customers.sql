-- Gives the orders of a customer who was merged into another to that one, and marks the customer
-- who is gone. The orders remember whose they were, so that both customers are measured anew.
with kept as (
    select
        email,
        display_name
    from shopify.customers
    where tenant_id = %(tenant_id)s and customer_id = %(kept_id)s
),

moved as (
    update shopify.orders as o
    set
        customer_id = %(kept_id)s,
        customer_email = coalesce((select k.email from kept as k), o.customer_email),
        customer_name = coalesce((select k.display_name from kept as k), o.customer_name),
        former_customer_ids = array_append(o.former_customer_ids, o.customer_id),
        landed_at = default,
        landed_xid = default
    where
        o.tenant_id = %(tenant_id)s
        and o.customer_id = %(gone_id)s
        and %(gone_id)s <> %(kept_id)s
    returning 1
),

marked as (
    update shopify.customers as c
    set deleted_at = now(), landed_at = default, landed_xid = default
    where
        c.tenant_id = %(tenant_id)s
        and c.customer_id = %(gone_id)s
        and %(gone_id)s <> %(kept_id)s
        and c.deleted_at is null
    returning 1
)

select (select count(*) from moved) + (select count(*) from marked) as written
