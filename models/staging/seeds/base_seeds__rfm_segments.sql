{{ config(enabled=not var('use_service_schemas')) }}

with

source as (
    select * from {{ overridable_seed('rfm_segments_by_tenant') }}
),

-- Read as text, because dbt infers an arbitrary type for a column whose cells are all empty.
-- assert_grid_is_complete tells of a priority that cannot be read.
final as (
    select
        {{ uuid_or_null('tenant_id::text') }} as tenant_id,
        segment::text as segment,
        label::text as label, -- noqa: RF04
        lower(colour::text) as colour,
        ({{ whole_number_or_null('priority::text', 0, 9999) }})::smallint as priority,
        coalesce(description::text, '') as description,
        coalesce(suggested_action::text, '') as suggested_action
    from source
    where {{ uuid_or_null('tenant_id::text') }} is not null
)

select * from final
