-- The floor: every order of the window, once, into one row per customer.
select
    tenant_id,
    customer_id,
    max(processed_at) as last_order_at,
    count(*) as frequency_count,
    sum(least(total_minor - refunded_minor, current_total_minor)) as monetary_minor
from shopify.orders
where
    processed_at >= %(as_of)s::timestamptz - interval '365 days'
    and processed_at < %(as_of)s::timestamptz
group by tenant_id, customer_id
