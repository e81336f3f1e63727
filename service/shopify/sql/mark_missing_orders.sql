-- Marks orders as deleted that the shop says it does not have, if it would have shown them to us.
with marked as (
    update shopify.orders as x
    set deleted_at = now(), landed_at = default, landed_xid = default
    from shopify.rereads as r
    where
        x.tenant_id = %(tenant_id)s
        and x.order_id = any(%(source_ids)s)
        and x.deleted_at is null
        and x.source = 'api'
        and r.tenant_id = %(tenant_id)s
        and r.entity = 'order'
        and r.source_id = x.order_id
        and r.is_visible
    returning 1
)

select count(*) as written
from marked
