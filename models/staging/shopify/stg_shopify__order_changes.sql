with

source as (
    select * from {{ source('shopify', 'orders') }}
),

final as (
    select
        tenant_id,
        order_id,
        customer_id,
        former_customer_ids,
        processed_at as ordered_at,
        landed_xid
    from source
)

select * from final
