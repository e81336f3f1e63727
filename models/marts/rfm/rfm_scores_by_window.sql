-- `not materialized`: a CTE that is read twice would otherwise be computed for all tenants,
-- whatever the filter on tenant_id.
with

main_scores as (
    select * from {{ ref('customer_rfm_segments') }}
),

builds as not materialized (
    select * from {{ ref('rfm_builds') }}
),

additional_scores as (
    select * from {{ ref('int_customers_scored_by_window') }}
),

additional_windows as (
    select * from {{ ref('int_windows_scored_for_rfm') }}
),

main_window as (
    select
        s.tenant_id,
        b.window_days,
        s.customer_id,
        true as is_main_window,
        s.r_score,
        s.f_score,
        s.m_score,
        s.segment,
        s.recency_days,
        s.frequency_count,
        s.monetary_total,
        s.currency,
        s.last_order_at,
        s.calculated_at
    from main_scores as s
    inner join builds as b on s.tenant_id = b.tenant_id
),

-- A window that has just become the main one is still here until the build scores the others.
other_windows as (
    select
        s.tenant_id,
        s.window_days,
        s.customer_id,
        false as is_main_window,
        s.r_score,
        s.f_score,
        s.m_score,
        s.segment,
        {{ days_between('s.last_order_at', 'w.as_of', 'w.time_zone') }} as recency_days,
        s.order_count as frequency_count,
        {{ major_units('s.net_minor', 'w.currency_exponent') }} as monetary_total,
        w.currency,
        s.last_order_at,
        w.as_of as calculated_at
    from additional_scores as s
    inner join additional_windows as w
        on s.tenant_id = w.tenant_id and s.window_days = w.window_days
    inner join builds as b on s.tenant_id = b.tenant_id and s.window_days <> b.window_days
),

final as (
    select * from main_window

    union all

    select * from other_windows
)

select * from final
