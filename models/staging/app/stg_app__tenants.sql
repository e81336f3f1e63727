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
)

select * from final
