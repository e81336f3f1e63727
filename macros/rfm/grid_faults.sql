{% macro grid_faults() -%}
grid_faults as (
    select distinct
        g.tenant_id,
        f.fault
    from grid as g
    cross join lateral (
        values
        (
            coalesce(
                g.r_score not between 1 and 5
                or g.f_score not between 1 and 5
                or g.m_score not between 1 and 5,
                g.r_score is null or g.f_score is null
            ),
            format(
                'The grid has recency %s, frequency %s%s: scores are 1 to 5.',
                g.r_score,
                g.f_score,
                ', spend ' || g.m_score
            )
        ),
        (
            not exists (
                select from segments as s
                where s.tenant_id = g.tenant_id and s.segment = g.segment
            ),
            format('The grid uses the segment ''%s'', which does not exist.', g.segment)
        )
    ) as f (is_fault, fault)
    where f.is_fault
)
{%- endmacro %}
