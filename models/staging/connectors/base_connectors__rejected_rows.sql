{{ config(enabled=var('source_layout') != 'native') }}

with

orders as (
    select * from {{ shopify_table('orders') }}
),

customers as (
    select * from {{ shopify_table('customers') }}
),

final as (
    select
        tenant_id,
        'order' as entity,
        order_id as source_id,
        rejection_reason as reason,
        jsonb_build_object('id', order_id, 'name', order_number) as payload,
        landed_at as rejected_at
    from orders
    where rejection_reason is not null

    union all

    select
        tenant_id,
        'customer' as entity,
        customer_id as source_id,
        rejection_reason as reason,
        jsonb_build_object('id', customer_id) as payload,
        landed_at as rejected_at
    from customers
    where rejection_reason is not null
)

select * from final
