{{ config(enabled=var('source_layout') == 'airbyte', materialized='ephemeral') }}

with

orders as (
    select * from {{ ref('base_airbyte__orders') }}
),

-- JSON paths, here and below, skip a null or a scalar in place of a list of objects.
landed_lines as (
    select
        o.source_schema,
        o.id as order_id,
        l.line,
        l.ordinal,
        {{ number_or_null("(l.line ->> 'price')") }} as price,
        {{ number_or_null("(l.line ->> 'quantity')") }} as quantity,
        {{ number_or_null("(l.line ->> 'total_discount')") }} as total_discount,
        a.allocated_discount,
        a.is_incomplete
    from orders as o
    cross join
        lateral {{ json_objects('o.line_items', '$[*]') }} with ordinality as l (line, ordinal)
    -- Discount codes and automatic discounts are allocated to lines; total_discount, which is
    -- older, has the discounts of drafts and scripts and may repeat them.
    cross join
        lateral (
            select
                sum({{ number_or_null("(d.allocation ->> 'amount')") }}) as allocated_discount,
                bool_or(
                    ({{ number_or_null("(d.allocation ->> 'amount')") }}) is null
                ) as is_incomplete
            from {{ json_objects('l.line', '$.discount_allocations[*]') }} as d (allocation)
        ) as a
    offset 0 -- noqa: AM09
),

final as (
    select
        source_schema,
        order_id,
        ordinal,
        line ->> 'product_id' as product_id,
        line ->> 'title' as title,
        line ->> 'variant_title' as variant_title,
        line ->> 'sku' as sku,
        quantity,
        price,
        total_discount,
        allocated_discount,
        case
            when price is null
                then {{ missing_or_unreadable("line ->> 'price'", 'price', 'number') }}
            when quantity is null
                then {{ missing_or_unreadable("line ->> 'quantity'", 'quantity', 'number') }}
            when total_discount is null and line ->> 'total_discount' <> ''
                then {{ missing_or_unreadable(
                    "line ->> 'total_discount'", 'total_discount', 'number'
                ) }}
            when is_incomplete then 'an allocated discount is missing'
        end as problem
    from landed_lines
)

select * from final
