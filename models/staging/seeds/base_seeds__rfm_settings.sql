{{ config(enabled=not var('use_service_schemas')) }}

with

source as (
    select * from {{ own_seed('rfm_settings_by_tenant') }}
),

-- An empty cell is a setting that the tenant has not decided.
final as (
    select
        tenant_id::uuid as tenant_id,
        window_days::int as window_days,
        excluded_customer_ids::text[] as excluded_customer_ids
    from source
)

select * from final
