{{ config(enabled=var('source_layout') == 'fivetran', materialized='ephemeral') }}

with

landed_fulfillments as (
    {{- union_source_schemas('fivetran_shopify', 'fulfillment', {
        'order_id': 'id',
        'status': 'text',
        'created_at': 'time',
    }, required=['order_id', 'created_at']) }}
),

final as (
    select
        source_schema,
        order_id,
        status,
        created_at,
        unreadable as problem
    from landed_fulfillments
)

select * from final
