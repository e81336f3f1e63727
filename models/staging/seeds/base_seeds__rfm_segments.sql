{{ config(enabled=not var('use_service_schemas')) }}

with

source as (
    select * from {{ overridable_seed('rfm_segments_by_tenant') }}
),

-- Cast by way of text, because dbt infers an arbitrary type for a column whose cells are all empty.
final as (
    select
        tenant_id::uuid as tenant_id,
        segment::text as segment,
        label::text as label, -- noqa: RF04
        lower(colour::text) as colour,
        priority::text::smallint as priority,
        coalesce(description::text, '') as description,
        coalesce(suggested_action::text, '') as suggested_action
    from source
)

select * from final
