with

tenants as (
    select * from {{ ref('int_tenants_built') }}
),

builds as (
    select * from {{ ref('rfm_builds') }}
),

segments as (
    select * from {{ ref('rfm_segment_definitions') }}
),

-- Not materialized: it is read twice, both times only what an index finds.
transitions as not materialized (
    select * from {{ ref('rfm_segment_transitions') }}
    where {{ tenant_filter() }}
),

-- Only a recorded build has transitions. Without earlier ones, there was no build before.
compared_builds as (
    select
        b.tenant_id,
        b.as_of
    from builds as b
    inner join tenants as t on b.tenant_id = t.tenant_id
    where
        b.as_of = b.recorded_until
        and exists (
            select from transitions as e
            where e.tenant_id = b.tenant_id and e.as_of < b.as_of
        )
),

movements as (
    select
        t.tenant_id,
        s.segment,
        sum(s.customers)::int as customers
    from transitions as t
    inner join compared_builds as b on t.tenant_id = b.tenant_id and t.as_of = b.as_of
    cross join
        lateral (
            values
            (t.from_segment, -1),
            (t.to_segment, 1)
        ) as s (segment, customers)
    where s.segment is not null
    group by t.tenant_id, s.segment
),

final as (
    select
        b.tenant_id,
        s.segment,
        coalesce(m.customers, 0) as customers
    from compared_builds as b
    inner join segments as s on b.tenant_id = s.tenant_id
    left join movements as m on b.tenant_id = m.tenant_id and s.segment = m.segment
)

select * from final
