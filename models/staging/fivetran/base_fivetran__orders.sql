{{ config(enabled=var('source_layout') == 'fivetran') }}

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

landed_lines as (
    {{- union_source_schemas('fivetran_shopify', 'order_line', {
        'order_id': 'id',
        'id': 'id',
        'product_id': 'id',
        'index': 'number',
        'title': 'text',
        'variant_title': 'text',
        'sku': 'text',
        'quantity': 'number',
        'price': 'number',
        'original_total_set_shop_amount': 'number',
        'total_discount': 'number',
    }, required=['order_id', 'quantity', 'price|original_total_set_shop_amount'], newer_names={
        'total_discount': 'total_discount_set_shop_amount',
    }) }}
),

products as (
    {{- union_source_schemas('fivetran_shopify', 'product', {
        'id': 'id',
        'product_type': 'text',
    }, required=['id']) }}
),

landed_allocations as (
    {{- union_source_schemas('fivetran_shopify', 'discount_allocation', {
        'order_line_id': 'id',
        'amount': 'number',
    }, required=['order_line_id', 'amount'], newer_names={
        'amount': 'allocated_amount_set_shop_amount',
    }) }}
),

landed_tags as (
    {{- union_source_schemas('fivetran_shopify', 'order_tag', {
        'order_id': 'id',
        'index': 'number',
        'value': 'text',
    }, required=['order_id', 'value']) }}
),

landed_transactions as (
    {{- union_source_schemas('fivetran_shopify', 'transaction', {
        'order_id': 'id',
        'kind': 'text',
        'status': 'text',
        'currency': 'text',
        'amount': 'number',
    }, required=['order_id', 'kind', 'status', 'amount'], newer_names={
        'currency': 'amount_set_shop_currency_code',
        'amount': 'amount_set_shop_amount',
    }) }}
),

landed_fulfillments as (
    {{- union_source_schemas('fivetran_shopify', 'fulfillment', {
        'order_id': 'id',
        'status': 'text',
        'created_at': 'time',
    }, required=['order_id', 'created_at']) }}
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

source_orders as (
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
        o.unreadable as problem
    from landed_orders as o
    left join landed_customers as c
        on o.source_schema = c.source_schema and o.customer_id = c.id
    where o._fivetran_deleted is not true
),

-- Discount codes and automatic discounts are allocated to lines; total_discount, which is older,
-- has the discounts of drafts and scripts and may repeat them.
allocations as (
    select
        source_schema,
        order_line_id,
        sum(amount) as amount,
        bool_or(amount is null) as is_incomplete
    from landed_allocations
    group by source_schema, order_line_id
),

-- The GraphQL schema has the price of all units of a line, and no index.
lines_with_price as (
    select
        *,
        coalesce(
            price,
            original_total_set_shop_amount / nullif(quantity, 0),
            original_total_set_shop_amount
        ) as unit_price
    from landed_lines
),

order_lines as (
    select
        l.source_schema,
        l.order_id,
        l.product_id,
        coalesce(l.index, {{ number_or_null('l.id') }}) as ordinal,
        l.title,
        l.variant_title,
        l.sku,
        l.quantity,
        l.unit_price as price,
        l.total_discount,
        a.amount as allocated_discount,
        coalesce(
            l.unreadable,
            {{ missing('l.unit_price', 'price') }},
            {{ missing('l.quantity', 'quantity') }},
            case when a.is_incomplete then 'an allocated discount is missing' end
        ) as problem
    from lines_with_price as l
    left join allocations as a
        on l.source_schema = a.source_schema and l.id = a.order_line_id
),

order_tags as (
    select
        source_schema,
        order_id,
        index as ordinal,
        value as tag
    from landed_tags
),

order_refunds as (
    select
        source_schema,
        order_id,
        currency,
        amount,
        coalesce(unreadable, {{ missing('amount', 'amount') }}) as problem
    from landed_transactions
    where lower(kind) = 'refund' and lower(status) = 'success'
),

order_fulfillments as (
    select
        source_schema,
        order_id,
        status,
        created_at,
        unreadable as problem
    from landed_fulfillments
),

{{ connector_orders(
    lines='order_line', refunds='a refund of transaction', fulfillments='fulfillment'
) }}

select * from final
