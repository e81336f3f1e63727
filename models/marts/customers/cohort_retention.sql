-- `not materialized`: a CTE that is read twice would otherwise be computed for all tenants,
-- whatever the filter on tenant_id.
with

builds as not materialized (
    select * from {{ ref('rfm_builds') }}
),

customers as not materialized (
    select * from {{ ref('int_customers_assigned_to_cohorts') }}
),

sales as (
    select * from {{ ref('int_orders_assessed_for_rfm') }}
    where instants_back = 0 and is_sale
),

cohorts as (
    select
        tenant_id,
        cohort_month,
        count(*)::int as customers
    from customers
    group by tenant_id, cohort_month
),

-- All months up to the one that ends at the as-of time or after it.
months as (
    select
        c.tenant_id,
        c.cohort_month,
        c.customers,
        (m.number - 1)::int as months_since,
        m.starts_at::date as ordered_month,
        m.starts_at + interval '1 month' <= b.as_of at time zone b.time_zone as is_complete,
        b.currency,
        b.currency_exponent,
        b.as_of
    from cohorts as c
    inner join builds as b on c.tenant_id = b.tenant_id
    cross join lateral generate_series(
        c.cohort_month::timestamp,
        b.as_of at time zone b.time_zone - interval '1 microsecond',
        interval '1 month'
    ) with ordinality as m (starts_at, number)
),

active_months as (
    select
        c.tenant_id,
        c.cohort_month,
        date_trunc('month', s.ordered_at at time zone s.time_zone)::date as ordered_month,
        count(distinct c.customer_id)::int as active_customers,
        count(*)::int as orders,
        sum(s.net_minor) as net_minor
    from customers as c
    inner join sales as s on c.tenant_id = s.tenant_id and c.customer_id = s.customer_id
    group by
        c.tenant_id,
        c.cohort_month,
        date_trunc('month', s.ordered_at at time zone s.time_zone)::date
),

with_revenue as (
    select
        m.*,
        coalesce(a.active_customers, 0) as active_customers,
        coalesce(a.orders, 0) as orders,
        coalesce(a.net_minor, 0) as net_minor,
        sum(coalesce(a.net_minor, 0)) over (
            partition by m.tenant_id, m.cohort_month
            order by m.months_since asc
        ) as cumulative_minor
    from months as m
    left join active_months as a
        on
            m.tenant_id = a.tenant_id
            and m.cohort_month = a.cohort_month
            and m.ordered_month = a.ordered_month
),

final as (
    select
        -- ids
        tenant_id,
        cohort_month,
        months_since,
        ordered_month,
        is_complete,

        -- measures
        customers,
        active_customers,
        round(active_customers / customers::numeric, 4) as retention_rate,
        orders,
        {{ major_units('net_minor', 'currency_exponent') }} as revenue,
        {{ major_units('cumulative_minor', 'currency_exponent') }} as cumulative_revenue,
        {{ major_units('cumulative_minor / customers', 'currency_exponent') }}
            as cumulative_revenue_per_customer,
        currency,
        as_of as calculated_at
    from with_revenue
)

select * from final
