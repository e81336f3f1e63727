with

source as (
    select * from {{ shopify_table('customers') }}
),

final as (
    select
        tenant_id,
        customer_id,
        email,
        display_name,
        marketing_state,
        tags,
        created_at,
        shopify_updated_at,
        landed_at
    from source
    where deleted_at is null
)

select * from final
