-- Marks orders the store no longer has. The rows stay for the next build to see, and are purged
-- once it has (purge_deleted).
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
from marked
