-- The scores, made with cut values, are those of the rule that defines them: rank() - 1 is the
-- number of a tenant's customers that are strictly ahead in the order, and / divides integers.
with

counted as (
    select
        tenant_id,
        customer_id,
        r_score,
        f_score,
        m_score,
        count(*) over (partition by tenant_id) as customer_count,
        rank() over (partition by tenant_id order by last_order_at desc) - 1 as later_count,
        rank() over (partition by tenant_id order by frequency_count) - 1 as fewer_count,
        rank() over (partition by tenant_id order by monetary_total) - 1 as lower_count
    from {{ ref('customer_rfm_segments') }}
)

select
    tenant_id,
    customer_id
from counted
where
    r_score <> 5 - 5 * later_count / customer_count
    or f_score <> 1 + 5 * fewer_count / customer_count
    or m_score <> 1 + 5 * lower_count / customer_count
