with

tenants as (
    select * from {{ ref('int_tenants_built') }}
),

own_grid as (
    select * from {{ ref('stg_app__rfm_segment_grid') }}
    where {{ tenant_filter() }}
),

published_grid as (
    select * from {{ ref('rfm_segment_grid') }}
),

-- A rule with a fault is not used: the tenant has the published one until the rule is right.
faulty as (
    select distinct tenant_id
    from {{ ref('int_segment_rules_checked') }}
),

own_rules as (
    select
        g.tenant_id,
        g.r_score,
        g.f_score,
        coalesce(g.m_score, 1)::smallint as lowest_m_score,
        coalesce(g.m_score, 5)::smallint as highest_m_score,
        g.segment
    from own_grid as g
    inner join tenants as t on g.tenant_id = t.tenant_id
    where g.tenant_id not in (select f.tenant_id from faulty as f)
),

final as (
    select * from own_rules

    union all

    select
        t.tenant_id,
        p.r_score,
        p.f_score,
        1::smallint as lowest_m_score,
        5::smallint as highest_m_score,
        p.segment
    from tenants as t
    cross join published_grid as p
    where t.tenant_id not in (select o.tenant_id from own_rules as o)
)

select * from final
