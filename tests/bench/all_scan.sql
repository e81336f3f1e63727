-- The same for all tenants' orders.
select
    count(*) as orders,
    sum(cardinality(tags)) as tags,
    sum(length(channel)) as channels,
    sum(subtotal_minor - refunded_minor) as minor
from shopify.orders
