{% macro segment_faults() -%}
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
)
{%- endmacro %}
