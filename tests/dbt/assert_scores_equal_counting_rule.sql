-- The scores, computed with cut values, equal the rule that defines them. rank() - 1 is the number
-- of the tenant's customers that are strictly ahead in the sort order, and / is integer division.
with

counted as (
    select
        tenant_id,
        customer_id,
        r_score,
        f_score,
        m_score,
        count(*) over customers as customer_count,
        rank() over (customers order by last_order_at desc) - 1 as later_count,
        rank() over (customers order by window_order_count) - 1 as fewer_count,
        rank() over (customers order by window_minor) - 1 as lower_count
    from {{ ref('customer_facts') }}
    where window_order_count > 0 and not is_excluded_from_rfm and {{ tenant_filter() }}
    window customers as (partition by tenant_id)
)

select
    tenant_id,
    customer_id
from counted
where
    r_score is distinct from 5 - 5 * later_count / customer_count
    or f_score is distinct from 1 + 5 * fewer_count / customer_count
    or m_score is distinct from 1 + 5 * lower_count / customer_count
