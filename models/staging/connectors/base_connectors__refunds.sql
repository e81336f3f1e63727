{{ config(enabled=var('source_layout') != 'native', materialized='ephemeral') }}

with

orders as (
    select * from {{ ref('base_connectors__orders_priced') }}
),

order_refunds as (
    select * from {{ ref('base_' ~ var('source_layout') ~ '__refunds') }}
),

-- A refund is in the currency that the buyer paid in. The order's total, which is in both
-- currencies, gives the exchange rate.
converted_refunds as (
    select
        o.source_schema,
        o.id as order_id,
        case
            when coalesce(upper(btrim(r.currency)) = o.currency_code, true) or r.amount = 0
                then r.amount
            when o.presentment_total > 0 then r.amount * o.shop_total / o.presentment_total
        end as amount,
        r.problem
    from orders as o
    inner join order_refunds as r on o.source_schema = r.source_schema and o.id = r.order_id
),

final as (
    select
        source_schema,
        order_id,
        sum(amount) as amount,
        min(
            coalesce(
                problem,
                case
                    when amount is null
                        then 'its currency differs, and total_price_set has no exchange rate'
                    when {{ minor_units('amount', '3') }} is null
                        then 'amount ' || left(amount::text, 40) || ' is no possible amount'
                end
            )
        ) as problem
    from converted_refunds
    group by source_schema, order_id
)

select * from final
