{%- set limits = var('churn_risk_limits') -%}

-- `not materialized`: a CTE that is read twice would otherwise be computed for all tenants,
-- whatever the filter on tenant_id.
with

facts as (
    select * from {{ ref('customer_facts') }}
),

builds as (
    select * from {{ ref('rfm_builds') }}
),

survival as not materialized (
    select * from {{ ref('rfm_survival') }}
),

buyers as (
    select
        f.tenant_id,
        f.customer_id,
        f.lifetime_order_count,
        f.last_order_at,
        b.as_of,
        b.time_zone,
        {{ days_between('f.last_order_at', 'b.as_of', 'b.time_zone') }} as days_since_order
    from facts as f
    inner join builds as b on f.tenant_id = b.tenant_id
    where f.lifetime_order_count > 0 and not f.is_excluded_from_rfm
),

-- The highest number of orders stands for all higher ones, and the last week for all longer waits.
last_rows as (
    select
        tenant_id,
        max(order_count) as order_count,
        max(days_since_order) as days_since_order
    from survival
    group by tenant_id
),

final as (
    select
        -- ids
        c.tenant_id,
        c.customer_id,

        -- recency and frequency
        c.lifetime_order_count as order_count,
        c.days_since_order,

        -- next order
        s.reorder_probability_30d,
        s.reorder_probability_90d,
        (c.as_of at time zone c.time_zone)::date + s.median_days_to_order as expected_next_order_on,

        -- churn
        1 - s.reorder_probability as churn_risk,
        case
            when 1 - s.reorder_probability >= {{ limits[1] }} then 'high'
            when 1 - s.reorder_probability >= {{ limits[0] }} then 'medium'
            when s.reorder_probability is not null then 'low'
        end as churn_risk_level,

        -- what the figures rest on
        s.at_risk as similar_orders,
        s.is_extrapolated
        or c.days_since_order >= l.days_since_order + 7 as is_extrapolated,

        -- timestamps
        c.last_order_at,
        s.calculated_at as survival_calculated_at,
        c.as_of as calculated_at
    from buyers as c
    left join last_rows as l on c.tenant_id = l.tenant_id
    -- By c.tenant_id, so that a filter on it reaches the survival of one tenant.
    left join survival as s
        on
            c.tenant_id = s.tenant_id
            and least(c.lifetime_order_count, l.order_count) = s.order_count
            and least(c.days_since_order / 7 * 7, l.days_since_order) = s.days_since_order
)

select * from final
