{%- set use_index = are_orders_indexed() -%}

with

orders as not materialized (
    select * from {{ ref('stg_shopify__orders') }}
),

settings as (
    select * from {{ ref('stg_app__samples_config') }}
    where {{ tenant_filter() }}
),

{{ sample_channels(use_index) }},

-- Ordinary sales of a channel are no suggestions, and in some shops they are half of all orders.
-- Goods that cost next to nothing are no ordinary sale. The JSON path skips lines that cannot be
-- read; an order without a readable line is taken for a sale.
final as (
    select
        c.tenant_id,
        o.order_id,
        c.matched_patterns
    from matched_channels as c
    cross join lateral (
        select n.order_id
        from orders as n
        cross join
            lateral (
                select
                    sum(
                        (line_item ->> 'unit_price_minor')::numeric
                        * (line_item ->> 'quantity')::numeric
                    ) as list_minor
                from jsonb_path_query(
                        n.line_items,
                        '$[*] ? (@.unit_price_minor.type() == "number"'
                        ' && @.quantity.type() == "number")'
                    ) as line_item
            ) as l
        where
            not n.is_test
            and n.tenant_id = c.tenant_id
            and n.channel = c.channel
            and n.subtotal_minor > 0
            and n.ordered_at
            >= {{ as_of() }} - {{ var('sample_near_miss_days') }} * interval '1 day'
            and n.subtotal_minor <= {{ var('sample_near_miss_price_share') }} * l.list_minor
        {{ 'offset 0' if use_index }} -- noqa: AM09
    ) as o
)

select * from final
