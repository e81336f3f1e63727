{{ config(enabled=not var('use_service_schemas')) }}

with

source as (
    select * from {{ overridable_seed('rfm_segment_grid_by_tenant') }}
),

-- Read as text, because dbt infers an arbitrary type for a column whose cells are all empty. A
-- score that cannot be read is no score, and 0 for spend, where null means any:
-- assert_grid_is_complete tells of both.
final as (
    select
        {{ uuid_or_null('tenant_id::text') }} as tenant_id,
        ({{ whole_number_or_null('r_score::text', 0, 9999) }})::smallint as r_score,
        ({{ whole_number_or_null('f_score::text', 0, 9999) }})::smallint as f_score,
        case
            when btrim(m_score::text) <> ''
                then coalesce({{ whole_number_or_null('m_score::text', 0, 9999) }}, 0)::smallint
        end as m_score,
        segment::text as segment
    from source
    where {{ uuid_or_null('tenant_id::text') }} is not null
)

select * from final
