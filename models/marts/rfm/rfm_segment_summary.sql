with

tenants as (
    select * from {{ ref('int_tenants_built') }}
),

builds as (
    select * from {{ ref('rfm_builds') }}
),

segments as (
    select * from {{ ref('rfm_segment_definitions') }}
),

counted as (
    select * from {{ ref('int_customers_counted_by_score') }}
    where {{ tenant_filter() }}
),

facts as (
    select * from {{ ref('customer_facts') }}
    where segment is not null and {{ tenant_filter() }}
),

changes as (
    select * from {{ ref('int_segment_changes_counted') }}
),

sizes as (
    select
        tenant_id,
        segment,
        sum(customers)::int as customers,
        sum(revenue_minor) as revenue_minor,
        sum(orders)::int as orders,
        sum(repeat_customers)::int as repeat_customers,
        sum(reachable_customers)::int as reachable_customers,
        sum(emailable_customers)::int as emailable_customers
    from counted
    group by tenant_id, segment
),

-- Days grow as last orders get older, so the median of the one is at the median of the other.
medians as (
    select
        tenant_id,
        segment,
        percentile_disc(0.5) within group (order by last_order_at desc) as last_order_at,
        percentile_disc(0.5) within group (order by window_minor) as spend_minor
    from facts
    group by tenant_id, segment
),

-- Every segment has a row, empty or not. Ratios of an empty segment are null.
all_segments as (
    select
        b.tenant_id,
        s.segment,
        s.priority,
        coalesce(z.customers, 0) as customers,
        coalesce(z.customers, 0) - c.customers as previous_customers,
        coalesce(z.reachable_customers, 0) as reachable_customers,
        coalesce(z.emailable_customers, 0) as emailable_customers,
        coalesce(z.orders, 0) as orders,
        {{ major_units('coalesce(z.revenue_minor, 0)', 'b.currency_exponent') }} as revenue,
        {{ major_units('m.spend_minor', 'b.currency_exponent') }} as median_spend,
        {{ days_between('m.last_order_at', 'b.as_of', 'b.time_zone') }} as median_recency_days,
        z.repeat_customers,
        b.currency,
        b.currency_exponent,
        b.as_of
    from builds as b
    inner join tenants as t on b.tenant_id = t.tenant_id
    inner join segments as s on b.tenant_id = s.tenant_id
    left join sizes as z on b.tenant_id = z.tenant_id and s.segment = z.segment
    left join medians as m on b.tenant_id = m.tenant_id and s.segment = m.segment
    left join changes as c on b.tenant_id = c.tenant_id and s.segment = c.segment
),

final as (
    select
        tenant_id,
        segment,
        priority,
        customers,
        previous_customers,
        reachable_customers,
        emailable_customers,
        round(
            customers / nullif(sum(customers) over (partition by tenant_id), 0)::numeric, 4
        ) as customer_share,
        orders,
        revenue,
        round(
            revenue / nullif(sum(revenue) over (partition by tenant_id), 0), 4
        ) as revenue_share,
        round(revenue / nullif(orders, 0), currency_exponent) as average_order_value,
        median_spend,
        median_recency_days,
        round(repeat_customers / nullif(customers, 0)::numeric, 4) as repeat_rate,
        currency,
        as_of as calculated_at
    from all_segments
)

select * from final
