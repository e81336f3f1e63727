{{ config(enabled=not var('use_service_schemas')) }}

{%- set seed = overridable_seed('rfm_settings_by_tenant') %}

with

source as (
    select * from {{ seed }}
),

-- An empty cell means the default. Cast by way of text, because dbt infers an arbitrary type for a
-- column whose cells are all empty.
final as (
    select
        tenant_id::uuid as tenant_id,
        window_days::text::int as window_days,
        time_zone::text as time_zone,
        minimum_minor::text::bigint as minimum_minor,
        is_sample_counted::text::boolean as is_sample_counted,
        excluded_customer_ids::text::text[] as excluded_customer_ids,
        excluded_domains::text::text[] as excluded_domains,
        {{ column_or_null('relay_domains', 'text', seed) }}::text::text[] as relay_domains,
        {{ column_or_null('additional_window_days', 'text', seed) }}::text::int[]
            as additional_window_days
    from source
)

select * from final
