with

rules as (
    select * from {{ ref('int_scores_mapped_to_segments') }}
    where {{ tenant_filter() }}
),

tenants as (
    select distinct tenant_id from rules
),

combinations as (
    select
        r_score,
        f_score,
        m_score
    from generate_series(1, 5) as r_score
    cross join generate_series(1, 5) as f_score
    cross join generate_series(1, 5) as m_score
),

-- A combination without a segment has a null, so that the others keep their place.
final as (
    select
        t.tenant_id,
        array_agg(r.segment order by c.r_score, c.f_score, c.m_score) as segments
    from tenants as t
    cross join combinations as c
    left join rules as r
        on
            t.tenant_id = r.tenant_id
            and c.r_score = r.r_score
            and c.f_score = r.f_score
            and c.m_score between r.lowest_m_score and r.highest_m_score
    group by t.tenant_id
)

select * from final
