with

orders as (
    select * from {{ ref('int_orders_assessed_for_rfm') }}
),

rejected_rows as (
    select * from {{ ref('stg_shopify__rejected_rows') }}
),

currency_exponents as (
    select * from {{ ref('currency_exponents') }}
),

known_orders as (
    select * from {{ ref('stg_shopify__orders') }}
),

excluded as (
    select
        o.tenant_id,
        o.order_id,
        null::bigint as line_number,
        o.order_number,
        o.customer_id,
        o.exclusion_reasons[1] as primary_reason,
        o.exclusion_reasons,
        null::text as detail,
        {{ major_units('o.net_minor', 'coalesce(e.exponent, 2)') }} as net_amount,
        o.currency,
        o.ordered_at
    from orders as o
    left join currency_exponents as e on o.currency = e.currency
    where o.instants_back = 0 and not o.is_counted
),

-- If an earlier version of an unreadable order was loaded, that version decides. A line of a file
-- without an order id may still be an order, so it is listed by its line number.
unreadable as (
    select
        r.tenant_id,
        case when r.entity = 'order' then r.source_id end as order_id,
        case when r.entity = 'csv_line' then r.source_id::bigint end as line_number,
        null::text as order_number,
        null::text as customer_id,
        'unreadable' as primary_reason,
        array['unreadable'] as exclusion_reasons,
        r.reason as detail,
        null::numeric as net_amount,
        null::text as currency,
        null::timestamptz as ordered_at
    from rejected_rows as r
    left join known_orders as o
        on r.tenant_id = o.tenant_id and r.source_id = o.order_id and r.entity = 'order'
    where r.entity in ('order', 'csv_line') and o.order_id is null
),

final as (
    select * from excluded

    union all

    select * from unreadable
)

select * from final
