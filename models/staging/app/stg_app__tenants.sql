with

source as (
    select * from {{ app_table('tenants') }}
),

final as (
    select
        tenant_id,
        name as tenant_name,
        shop_domain,
        currency,
        time_zone,
        created_at
    from source
    {%- if var('use_service_schemas') and is_tenants_seed_read() %}
    -- Another tenant has no orders here.
    where tenant_id in (select s.tenant_id from {{ ref('base_seeds__tenants') }} as s)
    {%- endif %}
)

select * from final
