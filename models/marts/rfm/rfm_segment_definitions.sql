with

tenants as (
    select * from {{ ref('int_tenants_built') }}
),

own_segments as (
    select * from {{ ref('stg_app__rfm_segments') }}
    where {{ tenant_filter() }}
),

published_segments as (
    select * from {{ ref('rfm_segments') }}
),

faulty as (
    select distinct tenant_id
    from {{ ref('int_segment_rules_checked') }}
),

own as (
    select
        s.tenant_id,
        s.segment,
        s.label,
        s.colour,
        s.priority,
        s.description,
        s.suggested_action,
        false as is_published
    from own_segments as s
    inner join tenants as t on s.tenant_id = t.tenant_id
    where s.tenant_id not in (select f.tenant_id from faulty as f)
),

final as (
    select * from own

    union all

    select
        t.tenant_id,
        p.segment,
        p.label,
        p.colour,
        p.priority,
        p.description,
        p.suggested_action,
        true as is_published
    from tenants as t
    cross join published_segments as p
    where t.tenant_id not in (select o.tenant_id from own as o)
)

select * from final
