{{ config(enabled=not var('use_service_schemas')) }}

{%- set seed = overridable_seed('rfm_settings_by_tenant') %}

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
        ({{ whole_number_or_null('window_days::text', 1, 3650) }})::int as window_days,
        {{ time_zone_or_null('time_zone::text') }} as time_zone,
        {{ whole_number_or_null('minimum_minor::text', 0, 999999999999999) }} as minimum_minor,
        {{ boolean_or_null('is_sample_counted::text') }} as is_sample_counted,
        {{ text_list_or_null('excluded_customer_ids::text') }} as excluded_customer_ids,
        {{ text_list_or_null('excluded_domains::text') }} as excluded_domains,
        {{ text_list_or_null(column_or_null('relay_domains', 'text', seed) ~ '::text') }}
            as relay_domains,
        {{ window_list_or_null(column_or_null('additional_window_days', 'text', seed) ~ '::text') }}
            as additional_window_days
    from source
    where {{ is_only_row_of_tenant(seed) }}
)

select * from final
