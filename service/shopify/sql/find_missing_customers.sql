-- Landed customers that the shop should have listed and has not; those who changed after the
-- listing began may not have been there yet.
with compared as (
    select
        c.customer_id,
        c.customer_id in (select l.source_id from pg_temp.listed as l) as is_listed
    from shopify.customers as c
    where
        c.tenant_id = %(tenant_id)s
        and c.deleted_at is null
        and c.shopify_updated_at < %(before)s
),

noted as (
    insert into pg_temp.missing (source_id)
    select p.customer_id
    from compared as p
    where not p.is_listed
    returning 1
)

select
    (select count(*) from noted) as missing,
    (select count(*) from compared) as compared
