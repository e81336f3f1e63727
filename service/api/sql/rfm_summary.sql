-- The six segments in order of priority with size and revenue; the tenant's totals on every row.
with

segments as (
    select
        segment,
        count(*) as customers,
        sum(monetary_total) as revenue,
        min(currency) as currency,
        max(calculated_at) as calculated_at
    from marts.customer_rfm_segments
    where tenant_id = %(tenant_id)s
    group by tenant_id, segment
),

totals as (
    select
        coalesce(sum(customers), 0)::bigint as customers,
        coalesce(sum(revenue), 0) as revenue,
        min(currency) as currency,
        max(calculated_at) as calculated_at
    from segments
)

select
    r.segment,
    r.label,
    r.colour,
    r.description,
    r.suggested_action,
    coalesce(s.customers, 0) as customers,
    coalesce(round(s.customers::numeric / nullif(t.customers, 0), 4), 0) as share,
    coalesce(s.revenue, 0) as revenue,
    coalesce(round(s.revenue / nullif(t.revenue, 0), 4), 0) as revenue_share,
    t.customers as all_customers,
    t.revenue as all_revenue,
    t.currency,
    t.calculated_at
from marts.rfm_segments as r
left join segments as s on r.segment = s.segment
cross join totals as t
order by r.priority
