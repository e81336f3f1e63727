-- The note on a landed order.
select note
from shopify.orders
where tenant_id = %(tenant_id)s and order_id = %(order_id)s and deleted_at is null
