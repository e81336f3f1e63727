with

tenants as (
    select * from {{ ref('int_tenants_built') }}
),

builds as (
    select * from {{ ref('rfm_builds') }}
),

scores as (
    select * from {{ ref('int_customers_counted_by_score') }}
),

counted as (
    select c.*
    from scores as c
    inner join tenants as t on c.tenant_id = t.tenant_id
),

-- The cut value of a score is the highest value below it, which some customer has: a value above it
-- gets the score or a higher one.
extremes as (
    select
        tenant_id,
        'recency' as metric,
        r_score as score,
        sum(customers) as customers,
        null::numeric as highest,
        min(earliest_last_order_at) as earliest
    from counted
    group by tenant_id, r_score

    union all

    select
        tenant_id,
        'frequency' as metric,
        f_score as score,
        sum(customers) as customers,
        max(highest_order_count)::numeric as highest,
        null::timestamptz as earliest
    from counted
    group by tenant_id, f_score

    union all

    select
        tenant_id,
        'monetary' as metric,
        m_score as score,
        sum(customers) as customers,
        max(highest_minor) as highest,
        null::timestamptz as earliest
    from counted
    group by tenant_id, m_score
),

cuts as (
    select
        e.tenant_id,
        e.metric,
        reached::smallint as score,
        max(e.highest) filter (where e.score < reached) as highest_below,
        min(e.earliest) filter (where e.score >= reached) as earliest_at,
        coalesce(sum(e.customers) filter (where e.score >= reached), 0)::int as customers
    from extremes as e
    cross join generate_series(2, 5) as reached
    group by e.tenant_id, e.metric, reached
),

in_major_units as (
    select
        c.*,
        b.currency,
        b.as_of,
        case c.metric
            when 'recency' then {{ days_between('c.earliest_at', 'b.as_of', 'b.time_zone') }}
            when 'frequency' then c.highest_below
            else {{ major_units('c.highest_below', 'b.currency_exponent') }}
        end as cut_value
    from cuts as c
    inner join builds as b on c.tenant_id = b.tenant_id
),

final as (
    select
        tenant_id,
        metric,
        score,
        cut_value,
        case when metric = 'monetary' then highest_below end as cut_minor,
        earliest_at as cut_at,
        case metric
            when 'recency' then 'last order within ' || {{ pluralize('cut_value', 'day') }}
            when 'frequency' then cut_value + 1 || ' or more orders'
            else 'more than ' || cut_value || ' ' || currency
        end as rule_in_words,
        customers,
        case when metric = 'monetary' then currency end as currency,
        as_of as calculated_at
    from in_major_units
)

select * from final
