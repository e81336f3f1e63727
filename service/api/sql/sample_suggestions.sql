-- A page of orders that are nearly samples, newest first, and one row more.
select
    order_id,
    order_number,
    customer_name,
    customer_email,
    reason,
    evidence,
    channel,
    tags,
    goods_paid,
    currency,
    ordered_at
from marts.sample_near_misses
where
    tenant_id = %(tenant_id)s
    and (%(reason)s::text is null or reason = %(reason)s)
    and (
        %(after_at)s::timestamptz is null
        or (ordered_at, order_id) < (%(after_at)s, %(after_id)s)
    )
order by ordered_at desc, order_id desc
limit %(row_limit)s
