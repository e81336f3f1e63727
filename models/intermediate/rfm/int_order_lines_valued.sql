with

orders as (
    select * from {{ ref('int_orders_assessed_for_rfm') }}
    where instants_back = 0
),

-- Running totals divide an order's net value between its lines without losing a cent. Computed
-- order by order, so that a filter on orders reaches their index.
final as (
    select
        -- ids
        o.tenant_id,
        o.order_id,
        l.line_position,
        o.order_number,
        o.customer_id,

        -- goods
        l.item,
        l.product_type,

        -- measures
        l.quantity,
        l.total_minor,
        case
            when l.goods_minor > 0 then
                round(o.net_minor * l.running_minor / l.goods_minor)
                - round(o.net_minor * (l.running_minor - l.total_minor) / l.goods_minor)
        end as net_minor,
        o.net_minor as order_net_minor,
        o.currency,

        -- what the order counts for
        o.is_sale,
        o.is_counted,
        o.is_sample,

        -- timestamps
        o.ordered_at,
        o.as_of
    from orders as o
    left join lateral (
        select
            i.line_position,
            i.item,
            nullif(btrim(i.item ->> 'product_type'), '') as product_type,
            {{ json_number('i.item', 'quantity') }} as quantity,
            t.total_minor,
            sum(t.total_minor) over (order by i.line_position asc) as running_minor,
            sum(t.total_minor) over () as goods_minor
        from {{ json_objects('o.line_items', '$[*]') }} with ordinality as i (item, line_position)
        cross join lateral (
            select coalesce({{ json_number('i.item', 'total_minor') }}, 0) as total_minor
        ) as t
    ) as l on true
)

select * from final
