-- Marks customers as deleted whom the shop says it does not have.
with marked as (
    update shopify.customers as x
    set deleted_at = now(), landed_at = default, landed_xid = default
    from shopify.rereads as r
    where
        x.tenant_id = %(tenant_id)s
        and x.customer_id = any(%(source_ids)s)
        and x.deleted_at is null
        and r.tenant_id = %(tenant_id)s
        and r.entity = 'customer'
        and r.source_id = x.customer_id
        and r.is_visible
    returning 1
)

select count(*) as written
from marked
