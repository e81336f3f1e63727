-- What a scan of one tenant's orders costs: every row of it, once.
select
    count(*) as orders,
    sum(cardinality(tags)) as tags,
    sum(length(channel)) as channels,
    sum(subtotal_minor - refunded_minor) as minor
from shopify.orders
where tenant_id = %(tenant_id)s
