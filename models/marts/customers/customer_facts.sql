-- depends_on: {{ ref('rfm_builds') }}

with

recalculated as (
    select * from {{ ref('int_customers_recalculated') }}
),

rescored as (
    select * from {{ ref('int_customers_rescored') }}
),

-- Materialized: where tables have no statistics yet, the planner expects one customer and would
-- calculate the values again for each.
cut_values as materialized (
    select * from {{ ref('int_score_cuts_calculated') }}
),

segments as (
    select * from {{ ref('int_segments_listed_by_score') }}
),

customers as (
    select * from recalculated

    union all

    select * from rescored
),

-- `offset 0` makes PostgreSQL compute each score once, although it is used twice below.
scored as (
    select
        c.*,
        {{ score_below('c.last_order_at', 'v.last_order_cuts') }} as r_score,
        {{ score_above('c.window_order_count', 'v.frequency_cuts') }} as f_score,
        {{ score_above('c.window_minor', 'v.monetary_cuts') }} as m_score
    from customers as c
    left join cut_values as v
        on
            c.tenant_id = v.tenant_id
            and c.window_order_count > 0
            and not c.is_excluded_from_rfm
    offset 0 -- noqa: AM09
),

-- The segment depends only on the scores. The rule is part of settings_key, so a changed rule
-- recalculates the whole tenant.
final as (
    select
        -- ids and contact
        s.tenant_id,
        s.customer_id,
        s.email,
        s.phone,
        s.display_name,
        s.marketing_state,
        s.is_in_shopify,
        s.is_excluded_from_rfm,

        -- sales of all time, and in the window
        s.lifetime_order_count,
        s.lifetime_minor,
        s.first_order_at,
        s.last_order_at,
        s.window_order_count,
        s.window_minor,
        s.sample_order_ids,

        -- scores
        s.r_score,
        s.f_score,
        s.m_score,
        {{ segment_of_scores('s', 'g.segments') }} as segment
    from scored as s
    left join segments as g on s.tenant_id = g.tenant_id
)

select * from final
