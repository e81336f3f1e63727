-- A page of scored customers, highest net spend first, and one row more. The last change is looked
-- up for the rows of the page only: choosing them does not read it.
with page as (
    select customer_id
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
)

select
    customer_id,
    email,
    segment,
    r_score,
    f_score,
    m_score,
    r_reason,
    f_reason,
    m_reason,
    recency_days,
    frequency_count,
    monetary_total,
    currency,
    previous_segment,
    segment_changed_on,
    last_order_at
from marts.customer_rfm_segments
where
    tenant_id = %(tenant_id)s
    and customer_id = any(array(select p.customer_id from page as p))
order by monetary_total desc, customer_id desc
