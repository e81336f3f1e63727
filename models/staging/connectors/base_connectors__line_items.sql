{{ config(enabled=var('source_layout') != 'native', materialized='ephemeral') }}

with

orders as (
    select * from {{ ref('base_connectors__orders_priced') }}
),

order_lines as (
    select * from {{ ref('base_' ~ var('source_layout') ~ '__order_lines') }}
),

products as (
    {{- union_source_schemas(
        var('source_layout') ~ '_shopify',
        'product' if var('source_layout') == 'fivetran' else 'products',
        {'id': 'id', 'product_type': 'text'}, required=['id']
    ) }}
),

-- A product that was loaded twice must not double its lines.
product_types as (
    select
        source_schema,
        id,
        max(product_type) as product_type
    from products
    group by source_schema, id
),

-- `offset 0` makes PostgreSQL convert a value once.
priced_lines as (
    select
        o.source_schema,
        o.id as order_id,
        l.ordinal,
        l.title,
        l.variant_title,
        l.sku,
        trim_scale(l.quantity) as quantity,
        {{ minor_units('l.price', 'o.exponent') }} as unit_price_minor,
        {{ line_total_minor('l.price', 'l.quantity', 'l.total_discount', 'l.allocated_discount',
            'o.exponent') }} as total_minor,
        nullif(btrim(p.product_type), '') as product_type,
        l.problem
    from orders as o
    inner join order_lines as l on o.source_schema = l.source_schema and o.id = l.order_id
    left join product_types as p on l.source_schema = p.source_schema and l.product_id = p.id
    offset 0 -- noqa: AM09
),

-- Only a known product type is a key of the line, as in shopify.orders.
final as (
    select
        source_schema,
        order_id,
        jsonb_agg(
            jsonb_build_object(
                'title', title,
                'variant_title', nullif(variant_title, ''),
                'sku', nullif(sku, ''),
                'quantity', quantity,
                'unit_price_minor', unit_price_minor,
                'total_minor', total_minor
            )
            || case
                when product_type is null then '{}'
                else jsonb_build_object('product_type', product_type)
            end
            order by ordinal
        ) as line_items,
        sum(total_minor) as total_minor,
        min(
            coalesce(
                problem,
                case when total_minor is null then 'price times quantity is no possible amount' end
            )
        ) as problem
    from priced_lines
    group by source_schema, order_id
)

select * from final
