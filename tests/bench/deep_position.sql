-- Where nine tenths of a tenant's samples have been paged through.
select
    ordered_at,
    order_id
from marts.sample_orders
where tenant_id = %(tenant_id)s
order by ordered_at desc, order_id desc
offset (
    select (0.9 * count(*))::bigint from marts.sample_orders where tenant_id = %(tenant_id)s
)
limit 1
