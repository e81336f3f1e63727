with

lines as (
    select * from {{ ref('int_order_lines_valued') }}
    where line_position is not null
),

currency_exponents as (
    select * from {{ ref('currency_exponents') }}
),

lines_with_exponent as (
    select
        l.*,
        coalesce(e.exponent, 2) as exponent
    from lines as l
    left join currency_exponents as e on l.currency = e.currency
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
        product_type,
        item ->> 'title' as title,
        item ->> 'variant_title' as variant_title,
        item ->> 'sku' as sku,
        quantity,

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
    from lines_with_exponent
)

select * from final
