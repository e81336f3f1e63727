-- Landed orders that the shop should have listed and has not. Those of a CSV file may be older than
-- the shop; those that changed after the listing began may not have been there yet.
with compared as (
    select
        o.order_id,
        o.order_id in (select l.source_id from pg_temp.listed as l) as is_listed
    from shopify.orders as o
    where
        o.tenant_id = %(tenant_id)s
        and o.source = 'api'
        and o.deleted_at is null
        and o.shopify_updated_at < %(before)s
        and coalesce(o.processed_at >= %(visible_from)s, true)
),

noted as (
    insert into pg_temp.missing (source_id)
    select c.order_id
    from compared as c
    where not c.is_listed
    returning 1
)

select
    (select count(*) from noted) as missing,
    (select count(*) from compared) as compared
