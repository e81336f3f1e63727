{{ config(enabled=not var('use_service_schemas')) }}

{%- set seed = overridable_seed('samples_config_by_tenant') %}

with

source as (
    select * from {{ seed }}
),

-- An empty cell means the default. Cast by way of text, because dbt infers an arbitrary type for a
-- column whose cells are all empty.
final as (
    select
        tenant_id::uuid as tenant_id,
        ugc_tags::text::text[] as ugc_tags,
        tiktok_tags::text::text[] as tiktok_tags,
        channel_patterns::text::text[] as channel_patterns,
        zero_price_only::text::boolean as zero_price_only,
        {{ column_or_null('ugc_zero_price_only', 'text', seed) }}::text::boolean
            as ugc_zero_price_only
    from source
)

select * from final
