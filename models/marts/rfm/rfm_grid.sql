with

tenants as (
    select * from {{ ref('int_tenants_built') }}
),

builds as (
    select * from {{ ref('rfm_builds') }}
),

segment_grid as (
    select * from {{ ref('int_scores_mapped_to_segments') }}
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

rules as (
    select
        g.tenant_id,
        g.r_score,
        g.f_score,
        array_agg(g.segment order by m_score) as segments_by_m_score
    from segment_grid as g
    cross join generate_series(1, 5) as m_score
    where m_score between g.lowest_m_score and g.highest_m_score
    group by g.tenant_id, g.r_score, g.f_score
),

final as (
    select
        b.tenant_id,
        g.r_score,
        g.f_score,
        case
            when g.segments_by_m_score[1] = all(g.segments_by_m_score)
                then g.segments_by_m_score[1]
        end as segment,
        g.segments_by_m_score,
        coalesce(c.customers, 0) as customers,
        {{ major_units('coalesce(c.revenue_minor, 0)', 'b.currency_exponent') }} as revenue,
        b.currency,
        b.as_of as calculated_at
    from builds as b
    inner join tenants as t on b.tenant_id = t.tenant_id
    inner join rules as g on b.tenant_id = g.tenant_id
    left join cells as c
        on g.tenant_id = c.tenant_id and g.r_score = c.r_score and g.f_score = c.f_score
)

select * from final
