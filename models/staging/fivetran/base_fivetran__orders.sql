{{ config(enabled=var('source_layout') == 'fivetran', materialized='ephemeral') }}

with

landed_orders as (
    {{- union_source_schemas('fivetran_shopify', 'order', {
        'id': 'id',
        'name': 'text',
        'customer_id': 'id',
        'email': 'text',
        'phone': 'text',
        'billing_address_name': 'text',
        'shipping_address_name': 'text',
        'created_at': 'time',
        'processed_at': 'time',
        'cancelled_at': 'time',
        'updated_at': 'time',
        'test': 'boolean',
        'currency': 'text',
        'total_price': 'number',
        'total_price_set': 'text',
        'total_price_set_shop_amount': 'number',
        'total_price_set_pres_amount': 'number',
        'subtotal_price': 'number',
        'current_total_price': 'number',
        'current_subtotal_price': 'number',
        'financial_status': 'text',
        'fulfillment_status': 'text',
        'source_name': 'text',
        'app_id': 'id',
        'note': 'text',
        '_fivetran_synced': 'time',
        '_fivetran_deleted': 'boolean',
    }, required=[
        'id', 'customer_id', 'currency', 'total_price', 'financial_status',
        'processed_at|created_at',
    ], newer_names={
        'currency': 'currency_code',
        'total_price': 'total_price_set_shop_amount',
        'subtotal_price': 'subtotal_price_set_shop_amount',
        'current_total_price': 'current_total_price_set_shop_amount',
        'current_subtotal_price': 'current_subtotal_price_set_shop_amount',
        'financial_status': 'display_financial_status',
        'fulfillment_status': 'display_fulfillment_status',
    }, is_optional=false) }}
),

landed_customers as (
    {{- union_source_schemas('fivetran_shopify', 'customer', {
        'id': 'id',
        'first_name': 'text',
        'last_name': 'text',
        'email': 'text',
        'phone': 'text',
    }, required=['id']) }}
),

landed_tags as (
    {{- union_source_schemas('fivetran_shopify', 'order_tag', {
        'order_id': 'id',
        'index': 'number',
        'value': 'text',
    }, required=['order_id', 'value']) }}
),

tags as (
    select
        source_schema,
        order_id,
        array_agg(value order by index) as tag_list
    from landed_tags
    where value is not null
    group by source_schema, order_id
),

final as (
    select
        o.*,
        {{ customer_display_name('c.first_name', 'c.last_name', 'c.email', 'c.phone') }}
            as customer_name,
        c.email as customer_email,
        c.phone as customer_phone,
        o.billing_address_name as billing_name,
        o.shipping_address_name as shipping_name,
        coalesce(
            o.total_price_set_shop_amount, {{ amount_in_money_set('o.total_price_set', 'shop') }}
        ) as shop_total,
        coalesce(
            o.total_price_set_pres_amount,
            {{ amount_in_money_set('o.total_price_set', 'presentment') }}
        ) as presentment_total,
        o._fivetran_synced as landed_at,
        g.tag_list,
        o.unreadable as problem
    from landed_orders as o
    left join landed_customers as c
        on o.source_schema = c.source_schema and o.customer_id = c.id
    left join tags as g on o.source_schema = g.source_schema and o.id = g.order_id
    where o._fivetran_deleted is not true
)

select * from final
