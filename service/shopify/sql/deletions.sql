-- name: mark_orders_deleted
-- Marks orders as deleted that the store no longer has. The rows stay for the next build to see,
-- and are purged afterwards (purge_deleted).
with marked as (
    update shopify.orders
    set deleted_at = now(), landed_at = default, landed_xid = default
    where
        tenant_id = %(tenant_id)s
        and order_id = any(%(order_ids)s)
        and deleted_at is null
    returning 1
)

select count(*) as written
from marked;

-- name: mark_customers_deleted
-- Marks customers as deleted that the store no longer has. Their orders keep them until the store
-- says otherwise.
with marked as (
    update shopify.customers
    set deleted_at = now(), landed_at = default, landed_xid = default
    where
        tenant_id = %(tenant_id)s
        and customer_id = any(%(customer_ids)s)
        and deleted_at is null
    returning 1
)

select count(*) as written
from marked;

-- name: merge_customers
-- Moves the orders of a merged customer to the customer it was merged into, and marks the former as
-- deleted. The orders keep both ids, so that builds compute both customers again.
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

select (select count(*) from moved) + (select count(*) from marked) as written;

-- name: has_builds
-- Whether dbt has built the marts and the service may read them.
select count(*) > 0 as has_builds
from pg_catalog.pg_class as c
inner join pg_catalog.pg_namespace as n on c.relnamespace = n.oid
where
    n.nspname = 'marts'
    and c.relname = 'rfm_builds'
    and has_schema_privilege(n.oid, 'usage')
    and has_table_privilege(c.oid, 'select');

-- name: purge_deleted
-- Deletes rows that were marked as deleted a month ago and that a build has seen since. For that
-- month they hold off older changes that arrive late.
with builds as (
    select b.changes_from
    from marts.rfm_builds as b
    where b.tenant_id = %(tenant_id)s
),

orders_gone as (
    delete from shopify.orders as o
    using builds as b
    where
        o.tenant_id = %(tenant_id)s
        and o.deleted_at < now() - interval '30 days'
        and o.landed_xid < b.changes_from
    returning 1
),

customers_gone as (
    delete from shopify.customers as c
    using builds as b
    where
        c.tenant_id = %(tenant_id)s
        and c.deleted_at < now() - interval '30 days'
        and c.landed_xid < b.changes_from
    returning 1
)

select (select count(*) from orders_gone) + (select count(*) from customers_gone) as written;

-- name: reassign_orders
-- Gives orders from Shopify's export, whose customer id was made of an address, the customer that
-- has been loaded with that address since.
with known as (
    select distinct on (app.customer_id_of_address(c.email))
        app.customer_id_of_address(c.email) as made_id,
        c.customer_id
    from shopify.customers as c
    where
        c.tenant_id = %(tenant_id)s
        and c.deleted_at is null
        and c.email is not null
        -- Usually there is no such order, and then no customer is read.
        and exists (
            select from shopify.orders as o
            where o.tenant_id = %(tenant_id)s and o.customer_id like 'email:%%'
        )
    order by
        app.customer_id_of_address(c.email) asc,
        c.shopify_updated_at desc nulls last,
        c.customer_id asc
),

reassigned as (
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
from reassigned;
