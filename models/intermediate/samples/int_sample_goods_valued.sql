with

samples as (
    select * from {{ ref('int_samples_described') }}
),

-- Read the lines with a JSON path, which skips invalid elements instead of failing.
lines as (
    select
        tenant_id,
        order_id,
        jsonb_path_query(
            line_items,
            '$[*] ? (@.unit_price_minor.type() == "number" && @.quantity.type() == "number")'
        ) as line_item
    from samples
),

final as (
    select
        tenant_id,
        order_id,
        sum(
            (line_item ->> 'unit_price_minor')::numeric * (line_item ->> 'quantity')::numeric
        ) as value_minor
    from lines
    group by tenant_id, order_id
)

select * from final
