-- Has the orders read again that the shop lists in another state than the landed one: newer,
-- somebody else's, or not landed at all.
with noted as (
    insert into shopify.rereads (tenant_id, entity, source_id, is_visible)
    select distinct on (l.source_id)
        %(tenant_id)s,
        'order',
        l.source_id,
        coalesce(o.processed_at >= %(visible_from)s, %(visible_from)s::timestamptz is null)
    from pg_temp.listed as l
    left join shopify.orders as o
        on o.tenant_id = %(tenant_id)s and l.source_id = o.order_id
    where
        o.order_id is null
        or o.source <> 'api'
        or o.deleted_at < %(noted_at)s
        or o.shopify_updated_at < l.updated_at
        or (
            o.customer_id is distinct from l.customer_id
            and o.shopify_updated_at <= l.updated_at
        )
    order by l.source_id asc
    on conflict (tenant_id, entity, source_id) do nothing
    returning 1
)

select count(*) as written
from noted
