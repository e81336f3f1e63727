{%- set probabilities = {
    'reorder_probability_30d': 30,
    'reorder_probability_90d': 90,
    'reorder_probability': var('churn_horizon_days'),
} -%}

with

windows as (
    select * from {{ ref('int_windows_built_for_rfm') }}
    where instants_back = 0 and {{ tenant_filter() }}
),

daily as (
    select * from {{ ref('int_reorders_estimated_by_day') }}
),

-- A probability is known if it rests on enough orders: those old enough to be followed to the end
-- of its days, times the share that has waited so far. The standard error of a share of 100 is at
-- most 5 percentage points.
estimated as (
    select
        *,
        {%- for name, length in probabilities.items() %}
        case
            when
                lead(followed, {{ length }}) over by_day * survival
                >= {{ var('survival_minimum_orders') }}
                then 1 - lead(survival, {{ length }}) over by_day / survival
        end as {{ name }},
        {%- endfor %}
        (
            sum(reordered) over (by_day rows between current row and 6 following)
        )::int as reordered_in_week,
        1 - lead(survival, 7) over by_day / nullif(survival, 0) as hazard
    from daily
    window by_day as (partition by tenant_id, order_count order by waited_days)
),

reordered_shares as (
    select
        tenant_id,
        order_count,
        array_agg(1 - survival order by waited_days) as share_by_day
    from daily
    group by tenant_id, order_count
),

longest_waits as (
    select
        tenant_id,
        max(waited_days) as waited_days
    from daily
    where at_risk >= {{ var('survival_minimum_orders') }}
    group by tenant_id
),

-- The number of days whose share lies below half of those who order again within the horizon; the
-- array begins at day 0. The subtrahend is less than the shares' last decimal.
weeks as materialized (
    select
        e.*,
        case
            when e.reorder_probability > 0
                then width_bucket(
                        1 - e.survival * (1 - e.reorder_probability / 2) - 1e-10, s.share_by_day
                    ) - e.waited_days
        end as median_days_to_order
    from estimated as e
    inner join reordered_shares as s
        on e.tenant_id = s.tenant_id and e.order_count = s.order_count
    inner join longest_waits as l
        on e.tenant_id = l.tenant_id and e.waited_days <= l.waited_days
    where e.waited_days % 7 = 0
),

final as (
    select
        -- ids
        k.tenant_id,
        k.order_count,
        k.waited_days as days_since_order,
        k.includes_higher_counts,

        -- survival
        k.at_risk,
        k.reordered_in_week,
        round(k.hazard::numeric, 4) as hazard,
        round(k.survival::numeric, 4) as survival,

        -- next order
        {%- for name in probabilities %}
        round(({{ known_figure(name) }})::numeric, 4) as {{ name }},
        {%- endfor %}
        {{ known_figure('median_days_to_order', 'reorder_probability') }} as median_days_to_order,
        k.reorder_probability is null as is_extrapolated,

        -- timestamps and settings
        {{ survival_settings_key('w') }} as settings_key,
        w.as_of as calculated_at
    from weeks as k
    inner join windows as w on k.tenant_id = w.tenant_id
)

select * from final
