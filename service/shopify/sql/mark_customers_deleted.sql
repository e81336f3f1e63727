-- Marks customers the store no longer has. Orders that were theirs stay as they are until the store
-- says whose they are now.
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
from marked
