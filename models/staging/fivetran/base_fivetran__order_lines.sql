{{ config(enabled=var('source_layout') == 'fivetran', materialized='ephemeral') }}

with

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

landed_allocations as (
    {{- union_source_schemas('fivetran_shopify', 'discount_allocation', {
        'order_line_id': 'id',
        'amount': 'number',
    }, required=['order_line_id', 'amount'], newer_names={
        'amount': 'allocated_amount_set_shop_amount',
    }) }}
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

final as (
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
)

select * from final
