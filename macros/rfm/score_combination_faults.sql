{% macro score_combination_faults() -%}
combinations as (
    select
        t.tenant_id,
        r.r_score,
        f.f_score,
        m.m_score,
        count(g.tenant_id) as segments
    from (select distinct s.tenant_id from segments as s) as t
    cross join generate_series(1, 5) as r (r_score)
    cross join generate_series(1, 5) as f (f_score)
    cross join generate_series(1, 5) as m (m_score)
    left join grid as g
        on
            t.tenant_id = g.tenant_id
            and r.r_score = g.r_score
            and f.f_score = g.f_score
            and m.m_score = coalesce(g.m_score, m.m_score)
    group by t.tenant_id, r.r_score, f.f_score, m.m_score
),

score_combination_faults as (
    select
        tenant_id,
        format(
            'Recency %s, frequency %s%s has %s.',
            r_score,
            f_score,
            case
                when count(*) < 5 then ', spend ' || string_agg(m_score::text, ' and ' order by m_score)
            end,
            case when segments = 0 then 'no segment' else 'several segments' end
        ) as fault
    from combinations
    where segments <> 1
    group by tenant_id, r_score, f_score, segments
)
{%- endmacro %}
