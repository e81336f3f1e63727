with

source as (
    select * from {{ shopify_table('segment_members') }}
),

final as (
    select
        tenant_id,
        segment_id,
        customer_id,
        email,
        display_name,
        marketing_state,
        entered_at,
        landed_at
    from source
)

select * from final
