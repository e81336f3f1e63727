-- name: list_orders_with_sample
-- Those of some orders that are samples by the last build.
select o.order_id
from marts.sample_orders as o
where o.tenant_id = %(tenant_id)s and o.order_id = any(%(order_ids)s);
