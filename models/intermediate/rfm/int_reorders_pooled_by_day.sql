{%- set minimum = var('survival_minimum_orders') -%}
{%- set horizon = var('churn_horizon_days') -%}

with

orders as (
    select * from {{ ref('int_orders_timed_to_next') }}
),

counted as (
    select
        o.tenant_id,
        least(o.order_number, {{ var('survival_order_counts') }})::int as order_count,
        v.waited_days,
        sum(v.orders) as orders,
        sum(v.reordered) as reordered,
        sum(v.followed) as followed
    from orders as o
    cross join
        lateral (
            values (o.waited_days, 1, o.is_reordered::int, 0), (o.age_days, 0, 0, 1)
        ) as v (waited_days, orders, reordered, followed)
    group by o.tenant_id, least(o.order_number, {{ var('survival_order_counts') }}), v.waited_days
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
        sum(c.orders) as orders,
        sum(c.reordered) as reordered,
        sum(c.followed) as followed
    from counted as c
    inner join highest_counts as h on c.tenant_id = h.tenant_id
    group by c.tenant_id, least(c.order_count, h.order_count), c.waited_days
)

select * from final
