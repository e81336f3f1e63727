{%- set minimum = var('survival_minimum_orders') -%}
{%- set horizon = var('churn_horizon_days') -%}

with

-- `offset 0` keeps the two kinds of days apart below: PostgreSQL before 18 takes grouped columns
-- for one if their expressions are equal.
orders as (
    select * from {{ ref('int_orders_timed_to_next') }}
    offset 0 -- noqa: AM09
),

-- Each order counts on two days: that on which its wait ended, and that of its age.
by_day as (
    select
        tenant_id,
        least(order_number, {{ var('survival_order_counts') }})::int as order_count,
        coalesce(waited_days, age_days) as waited_days,
        grouping(age_days) = 0 as is_age,
        count(*) as orders,
        count(*) filter (where is_reordered) as reordered
    from orders
    group by
        tenant_id,
        least(order_number, {{ var('survival_order_counts') }}),
        grouping sets (waited_days, age_days)
),

counted as (
    select
        tenant_id,
        order_count,
        waited_days,
        sum(orders) filter (where not is_age) as orders,
        sum(reordered) filter (where not is_age) as reordered,
        sum(orders) filter (where is_age) as followed
    from by_day
    group by tenant_id, order_count, waited_days
),

-- Where enough orders are older than the horizon, orders are pooled so that churn risks are known.
horizons as (
    select
        tenant_id,
        case
            when sum(followed) filter (where waited_days >= {{ horizon }}) >= {{ minimum }}
                then {{ horizon }}
            else 0
        end as horizon_days
    from counted
    group by tenant_id
),

sizes as (
    select
        c.tenant_id,
        c.order_count,
        sum(sum(c.followed)) over (
            partition by c.tenant_id order by c.order_count desc
        ) as orders_or_more,
        lag(sum(c.followed), 1, {{ minimum }}) over (
            partition by c.tenant_id order by c.order_count
        ) as orders_before
    from counted as c
    inner join horizons as h on c.tenant_id = h.tenant_id and c.waited_days >= h.horizon_days
    group by c.tenant_id, c.order_count
),

-- The highest number of orders with figures of its own. Higher ones are pooled with it. The higher
-- a number, the fewer customers have it, so it is enough to look at the one before.
highest_counts as (
    select
        tenant_id,
        max(order_count) as order_count
    from sizes
    where orders_or_more >= {{ minimum }} and orders_before >= {{ minimum }}
    group by tenant_id
),

final as (
    select
        c.tenant_id,
        least(c.order_count, h.order_count) as order_count,
        bool_or(c.order_count >= h.order_count) as includes_higher_counts,
        c.waited_days,
        coalesce(sum(c.orders), 0)::int as orders,
        coalesce(sum(c.reordered), 0)::int as reordered,
        coalesce(sum(c.followed), 0)::int as followed
    from counted as c
    inner join highest_counts as h on c.tenant_id = h.tenant_id
    group by c.tenant_id, least(c.order_count, h.order_count), c.waited_days
)

select * from final
