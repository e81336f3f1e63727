with

tenants as (
    select * from {{ ref('int_tenants_built') }}
),

builds as (
    select * from {{ ref('rfm_builds') }}
),

segment_grid as (
    select * from {{ ref('rfm_segment_grid') }}
),

counted as (
    select * from {{ ref('int_customers_counted_by_score') }}
    where {{ tenant_filter() }}
),

cells as (
    select
        tenant_id,
        r_score,
        f_score,
        sum(customers)::int as customers,
        sum(revenue_minor) as revenue_minor
    from counted
    group by tenant_id, r_score, f_score
),

final as (
    select
        b.tenant_id,
        g.r_score,
        g.f_score,
        g.segment,
        coalesce(c.customers, 0) as customers,
        {{ major_units('coalesce(c.revenue_minor, 0)', 'b.currency_exponent') }} as revenue,
        b.currency,
        b.as_of as calculated_at
    from builds as b
    inner join tenants as t on b.tenant_id = t.tenant_id
    cross join segment_grid as g
    left join cells as c
        on b.tenant_id = c.tenant_id and g.r_score = c.r_score and g.f_score = c.f_score
)

select * from final
