{{ config(enabled=not var('use_service_schemas')) }}

with

source as (
    select * from {{ overridable_seed('rfm_segment_grid_by_tenant') }}
),

-- Cast by way of text, because dbt infers an arbitrary type for a column whose cells are all empty.
final as (
    select
        tenant_id::uuid as tenant_id,
        r_score::text::smallint as r_score,
        f_score::text::smallint as f_score,
        m_score::text::smallint as m_score,
        segment::text as segment
    from source
)

select * from final
