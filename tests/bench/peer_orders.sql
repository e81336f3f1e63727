-- What a peer reads: the orders of the window that count. Of the reasons that exclude an order, those
-- that it has by itself; the benchmark's orders and settings meet none of the others.
select
    tenant_id,
    customer_id,
    processed_at at time zone 'UTC' as ordered_at,
    least(total_minor - refunded_minor, current_total_minor) as net_minor
from shopify.orders
where
    processed_at >= %(as_of)s::timestamptz - interval '365 days'
    and processed_at < %(as_of)s::timestamptz
    and customer_id is not null
    and not is_test
    and cancelled_at is null
    and deleted_at is null
    and coalesce(upper(financial_status), '') not in ('VOIDED', 'EXPIRED')
    and least(total_minor - refunded_minor, current_total_minor) > 0
