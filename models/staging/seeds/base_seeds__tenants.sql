{{ config(enabled=not var('use_service_schemas')) }}

with

source as (
    select * from {{ overridable_seed('tenants_by_schema') }}
),

final as (
    select
        tenant_id::uuid as tenant_id,
        name::text as name,
        shop_domain::text as shop_domain,
        upper(currency::text) as currency,
        coalesce(time_zone::text, 'UTC') as time_zone,
        null::timestamptz as created_at
    from source
)

select * from final
