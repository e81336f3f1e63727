with

builds as (
    select * from {{ ref('rfm_builds') }}
),

-- `offset 0` hides the expression of the month from the planner, which would otherwise expect as
-- many months as distinct timestamps.
cohort_customers as (
    select * from {{ ref('int_customers_assigned_to_cohorts') }}
    where {{ tenant_filter() }}
    offset 0 -- noqa: AM09
),

-- Group by the few columns that are needed; columns that depend on the tenant are joined to the
-- sums.
counted as (
    select
        tenant_id,
        cohort_month,
        segment,
        count(*)::int as customers,
        sum(lifetime_minor) as lifetime_minor,
        sum(window_minor) as window_minor
    from cohort_customers
    group by tenant_id, cohort_month, segment
),

final as (
    select
        c.tenant_id,
        c.cohort_month,
        coalesce(c.segment, 'none') as segment,
        c.customers,
        {{ major_units('c.lifetime_minor', 'b.currency_exponent') }} as lifetime_revenue,
        {{ major_units('c.window_minor', 'b.currency_exponent') }} as window_revenue,
        b.currency,
        b.as_of as calculated_at
    from counted as c
    inner join builds as b on c.tenant_id = b.tenant_id
)

select * from final
