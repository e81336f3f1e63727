with

tenants as (
    select * from {{ ref('int_tenants_built') }}
),

builds as (
    select * from {{ ref('rfm_builds') }}
),

facts as (
    select * from {{ ref('customer_facts') }}
    where {{ tenant_filter() }}
),

-- Customers who are not scored have no number of orders here.
customers_by_count as (
    select
        tenant_id,
        case when segment is not null then window_order_count end as frequency_count,
        count(*)::int as customers,
        min(first_order_at) as first_order_at,
        max(last_order_at) as last_order_at
    from facts
    group by tenant_id, case when segment is not null then window_order_count end
),

order_spans as (
    select
        tenant_id,
        sum(customers)::int as known_customers,
        min(first_order_at) as first_order_at,
        max(last_order_at) as last_order_at
    from customers_by_count
    group by tenant_id
),

-- Number of customers in the window with the same number of orders.
ties as (
    select
        tenant_id,
        frequency_count,
        customers,
        (sum(customers) over by_tenant)::int as all_customers,
        min(frequency_count) over by_tenant as lowest_count
    from customers_by_count
    where frequency_count is not null
    window by_tenant as (partition by tenant_id)
),

largest_ties as (
    select distinct on (tenant_id)
        tenant_id,
        all_customers,
        frequency_count as tied_order_count,
        round(customers / all_customers::numeric, 4) as tied_share,
        frequency_count > lowest_count as is_tie_above_lowest
    from ties
    order by tenant_id asc, customers desc, frequency_count asc
),

final as (
    select
        b.tenant_id,
        coalesce(l.all_customers, 0) as customers,
        coalesce(o.known_customers, 0) as known_customers,
        coalesce(
            {{ days_between('o.first_order_at', 'b.as_of', 'b.time_zone') }}, 0
        ) as history_days,
        {{ days_between('o.last_order_at', 'b.as_of', 'b.time_zone') }} as days_without_order,
        l.tied_order_count,
        l.tied_share,
        coalesce(l.is_tie_above_lowest, false) as is_tie_above_lowest,
        b.as_of
    from builds as b
    inner join tenants as t on b.tenant_id = t.tenant_id
    left join order_spans as o on b.tenant_id = o.tenant_id
    left join largest_ties as l on b.tenant_id = l.tenant_id
)

select * from final
