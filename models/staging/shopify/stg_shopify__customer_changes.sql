with

source as (
    select * from {{ source('shopify', 'customers') }}
),

final as (
    select
        tenant_id,
        customer_id,
        landed_xid
    from source
)

select * from final
