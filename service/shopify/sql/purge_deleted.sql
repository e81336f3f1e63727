-- Removes rows marked as deleted that a build has seen since. They stay a month, so that news from
-- before the deletion that comes late finds them.
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

select (select count(*) from orders_gone) + (select count(*) from customers_gone) as written
