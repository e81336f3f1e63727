-- Has the customers read again whom the shop lists in another state than the landed one.
with noted as (
    insert into shopify.rereads (tenant_id, entity, source_id, is_visible)
    select distinct on (l.source_id)
        %(tenant_id)s,
        'customer',
        l.source_id,
        true
    from pg_temp.listed as l
    left join shopify.customers as c
        on c.tenant_id = %(tenant_id)s and l.source_id = c.customer_id
    where
        c.customer_id is null
        or c.deleted_at < %(noted_at)s
        or c.shopify_updated_at < l.updated_at
    order by l.source_id asc
    on conflict (tenant_id, entity, source_id) do nothing
    returning 1
)

select count(*) as written
from noted
