with

pooled as (
    select * from {{ ref('int_reorders_pooled_by_day') }}
),

-- Every day up to the one after the age of the tenant's oldest order, with and without orders. A
-- join of days to orders would compare each day with all: PostgreSQL expects few rows here.
all_days as (
    select
        tenant_id,
        order_count,
        includes_higher_counts,
        generate_series(
            0, max(max(waited_days)) over (partition by tenant_id) + 1
        ) as waited_days,
        0 as orders,
        0 as reordered,
        0 as followed
    from pooled
    group by tenant_id, order_count, includes_higher_counts

    union all

    select * from pooled
),

at_risk as (
    select
        tenant_id,
        order_count,
        includes_higher_counts,
        waited_days,
        sum(reordered)::int as reordered,
        (sum(sum(orders)) over from_here)::int as at_risk,
        (sum(sum(followed)) over from_here)::int as followed
    from all_days
    group by tenant_id, order_count, includes_higher_counts, waited_days
    window from_here as (partition by tenant_id, order_count order by waited_days desc)
),

-- The product of 1 - reordered / at_risk over all days before, as a sum of logarithms. Rounded, so
-- that equal shares are equal.
final as (
    select
        *,
        round(
            1e9::float * exp(
                coalesce(
                    sum(ln(greatest(1 - reordered / greatest(at_risk, 1)::float, 1e-12))) over (
                        partition by tenant_id, order_count
                        order by waited_days
                        rows between unbounded preceding and 1 preceding
                    ),
                    0
                )
            )
        ) / 1e9 as survival
    from at_risk
)

select * from final
