with

own_segments as (
    select * from {{ ref('stg_app__rfm_segments') }}
    where {{ tenant_filter() }}
),

own_grid as (
    select * from {{ ref('stg_app__rfm_segment_grid') }}
    where {{ tenant_filter() }}
),

published_segments as (
    select * from {{ ref('rfm_segments') }}
),

published_grid as (
    select * from {{ ref('rfm_segment_grid') }}
),

-- Tenants with segments or a grid of their own. One who has only one of them has the other as
-- published.
tenants as (
    select tenant_id from own_segments
    union distinct
    select tenant_id from own_grid
),

segments as (
    select
        tenant_id,
        segment,
        label,
        colour,
        priority
    from own_segments

    union all

    select
        t.tenant_id,
        p.segment,
        p.label,
        p.colour,
        p.priority
    from tenants as t
    cross join published_segments as p
    where t.tenant_id not in (select o.tenant_id from own_segments as o)
),

grid as (
    select
        tenant_id,
        r_score,
        f_score,
        m_score,
        segment
    from own_grid

    union all

    select
        t.tenant_id,
        p.r_score,
        p.f_score,
        null::smallint as m_score,
        p.segment
    from tenants as t
    cross join published_grid as p
    where t.tenant_id not in (select o.tenant_id from own_grid as o)
),

{{ segment_rule_faults() }},

final as (
    select
        tenant_id,
        fault
    from faults
)

select * from final
