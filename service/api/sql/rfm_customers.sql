-- A page of scored customers, highest net spend first, and one row more.
select
    customer_id,
    email,
    segment,
    r_score,
    f_score,
    m_score,
    recency_days,
    frequency_count,
    monetary_total,
    currency,
    last_order_at
from marts.customer_rfm_segments
where
    tenant_id = %(tenant_id)s
    and (%(segment)s::text is null or segment = %(segment)s)
    and (
        %(pattern)s::text is null
        or email ilike %(pattern)s
        or customer_id = %(q)s
    )
    and (
        %(after_total)s::numeric is null
        or (monetary_total, customer_id) < (%(after_total)s, %(after_id)s)
    )
order by monetary_total desc, customer_id desc
limit %(row_limit)s
