with

facts as (
    select * from {{ ref('customer_facts') }}
    where segment is not null and {{ tenant_filter() }}
),

final as (
    select
        tenant_id,
        r_score,
        f_score,
        m_score,
        segment,
        count(*)::int as customers,
        (count(*) filter (where window_order_count > 1))::int as repeat_customers,
        (count(*) filter (where is_in_shopify))::int as reachable_customers,
        (
            count(*) filter (where marketing_state = 'SUBSCRIBED' and email is not null)
        )::int as emailable_customers,
        sum(window_order_count)::int as orders,
        sum(window_minor) as revenue_minor,
        max(window_order_count) as highest_order_count,
        max(window_minor) as highest_minor,
        min(last_order_at) as earliest_last_order_at
    from facts
    group by tenant_id, r_score, f_score, m_score, segment
)

select * from final
