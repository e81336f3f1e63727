{#
    CTEs that check segment rules, the last of which is `faults`: one sentence per fault. They read
    the CTEs segments and grid, with the columns of app.rfm_segments and app.rfm_segment_grid. The
    service says the same of a rule before it saves it (service/tenants/segment_rules.py).
#}
{% macro segment_rule_faults() -%}
segment_counts as (
    select
        *,
        count(*) over (partition by tenant_id, segment) as same_keys,
        count(*) over (partition by tenant_id, lower(label)) as same_labels,
        count(*) over (partition by tenant_id, priority) as same_priorities,
        count(*) over (partition by tenant_id) as segments
    from segments
),

segment_faults as (
    select distinct
        s.tenant_id,
        f.fault
    from segment_counts as s
    cross join lateral (
        values
        (
            coalesce(s.segment !~ '^[a-z][a-z0-9_]{0,39}$' or s.segment = 'none', true),
            format(
                '''%s'' cannot be a segment''s key: use 1 to 40 of a-z, 0-9 and _, beginning with'
                || ' a letter, and not none.',
                s.segment
            )
        ),
        (s.same_keys > 1, format('There are several segments ''%s''.', s.segment)),
        (
            coalesce(length(s.label) > 60 or btrim(s.label) = '', true),
            format('Segment ''%s'' needs a label of 1 to 60 characters.', s.segment)
        ),
        (s.same_labels > 1, format('Several segments have the label ''%s''.', s.label)),
        (
            coalesce(s.colour !~ '^#[0-9a-f]{6}$', true),
            format('The colour of segment ''%s'' must look like #1b7f5c.', s.segment)
        ),
        (
            coalesce(s.priority < 1, true),
            format('The priority of segment ''%s'' must be 1 or more.', s.segment)
        ),
        (s.same_priorities > 1, format('Several segments have the priority %s.', s.priority)),
        (s.segments > 25, format('There are %s segments; at most 25 can be.', s.segments)),
        (
            not exists (
                select from grid as g
                where g.tenant_id = s.tenant_id and g.segment = s.segment
            ),
            format('Segment ''%s'' has no cell in the grid.', s.segment)
        )
    ) as f (is_fault, fault)
    where f.is_fault
),

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
),

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

combination_faults as (
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
    group by tenant_id, r_score, f_score, segments = 0, segments
),

faults as (
    select * from segment_faults
    union distinct
    select * from grid_faults
    union distinct
    select * from combination_faults
)
{%- endmacro %}
