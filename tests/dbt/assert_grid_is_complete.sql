-- Each of the 125 combinations of scores has exactly one segment, every segment has a cell, and
-- segments have usable keys, labels, colours and priorities: in the published rule and in those of
-- tenants. A tenant whose rule has a fault has the published one, so this test runs after the marts
-- and stops none of them.
-- depends_on: {{ ref('rfm_segment_summary') }}
with

tenant_faults as (
    select * from {{ ref('int_segment_rules_checked') }}
),

segments as (
    select
        '00000000-0000-0000-0000-000000000000'::uuid as tenant_id,
        segment,
        label,
        colour,
        priority
    from {{ ref('rfm_segments') }}
),

grid as (
    select
        '00000000-0000-0000-0000-000000000000'::uuid as tenant_id,
        r_score,
        f_score,
        null::smallint as m_score,
        segment
    from {{ ref('rfm_segment_grid') }}
),

{{ segment_rule_faults() }}

select
    'published' as rule_of,
    fault
from faults

union all

select
    tenant_id::text as rule_of,
    fault
from tenant_faults
