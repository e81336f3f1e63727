{{ config(enabled=not var('use_service_schemas')) }}

{%- set seed = overridable_seed('samples_config_by_tenant') %}

with

source as (
    select * from {{ seed }}
),

-- An empty cell means the default, and so does one that cannot be read. A tenant of several rows
-- has all defaults, because it is unknown which row is right. cells_can_be_read tells of both. Read
-- as text, because dbt infers an arbitrary type for a column whose cells are all empty.
final as (
    select
        {{ uuid_or_null('tenant_id::text') }} as tenant_id,
        {{ text_list_or_null('ugc_tags::text') }} as ugc_tags,
        {{ text_list_or_null('tiktok_tags::text') }} as tiktok_tags,
        {{ text_list_or_null('channel_patterns::text') }} as channel_patterns,
        {{ boolean_or_null('zero_price_only::text') }} as zero_price_only,
        {{ boolean_or_null(column_or_null('ugc_zero_price_only', 'text', seed) ~ '::text') }}
            as ugc_zero_price_only
    from source
    where {{ is_only_row_of_tenant(seed) }}
)

select * from final
