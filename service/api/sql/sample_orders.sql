-- A page of sample orders, newest first, and one row more.
select
    order_id,
    order_number,
    customer_id,
    customer_name,
    customer_email,
    array_remove(
        array[case when is_ugc then 'ugc' end, case when is_tiktok then 'tiktok' end], null
    ) as types,
    matched_tags,
    matched_patterns,
    status,
    channel,
    line_items as items,
    goods_value,
    currency,
    ordered_at,
    first_fulfilled_at,
    delivered_at
from marts.sample_orders
where
    tenant_id = %(tenant_id)s
    and (
        %(type)s::text is null
        or (%(type)s = 'ugc' and is_ugc)
        or (%(type)s = 'tiktok' and is_tiktok)
    )
    and (%(status)s::text is null or status = %(status)s)
    and (
        %(pattern)s::text is null
        or order_number ilike %(pattern)s
        or customer_name ilike %(pattern)s
        or customer_email ilike %(pattern)s
    )
    and (
        %(after_at)s::timestamptz is null
        or (ordered_at, order_id) < (%(after_at)s, %(after_id)s)
    )
order by ordered_at desc, order_id desc
limit %(row_limit)s
