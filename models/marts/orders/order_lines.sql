with

orders as (
    select * from {{ ref('int_orders_assessed_for_rfm') }}
    where instants_back = 0
),

currency_exponents as (
    select * from {{ ref('currency_exponents') }}
),

-- Running totals divide an order's net value between its lines without losing a cent. Computed
-- order by order, so that a filter on orders reaches their index.
lines as (
    select
        o.tenant_id,
        o.order_id,
        l.line_position,
        l.item,
        l.total_minor,
        case
            when l.goods_minor > 0 then
                round(o.net_minor * l.running_minor / l.goods_minor)
                - round(o.net_minor * (l.running_minor - l.total_minor) / l.goods_minor)
        end as net_minor,
        o.order_number,
        o.customer_id,
        o.currency,
        coalesce(e.exponent, 2) as exponent,
        o.is_sale,
        o.is_counted,
        o.is_sample,
        o.ordered_at,
        o.as_of
    from orders as o
    left join currency_exponents as e on o.currency = e.currency
    cross join lateral (
        select
            i.line_position,
            i.item,
            t.total_minor,
            sum(t.total_minor) over (order by i.line_position asc) as running_minor,
            sum(t.total_minor) over () as goods_minor
        from {{ json_objects('o.line_items', '$[*]') }} with ordinality as i (item, line_position)
        cross join lateral (
            select coalesce({{ json_number('i.item', 'total_minor') }}, 0) as total_minor
        ) as t
    ) as l
),

final as (
    select
        -- ids
        tenant_id,
        order_id,
        line_position::int as line_position,
        order_number,
        customer_id,

        -- goods
        item ->> 'title' as title,
        item ->> 'variant_title' as variant_title,
        item ->> 'sku' as sku,
        {{ json_number('item', 'quantity') }} as quantity,

        -- amounts
        {{ major_units(json_number('item', 'unit_price_minor'), 'exponent') }} as unit_price_amount,
        {{ major_units('total_minor', 'exponent') }} as total_amount,
        {{ major_units('net_minor', 'exponent') }} as net_amount,
        currency,

        -- what the order counts for
        is_sale,
        is_counted,
        is_sample,

        -- timestamps
        ordered_at,
        as_of as calculated_at
    from lines
)

select * from final
