with

orders as (
    select * from {{ ref('int_orders_assessed_for_rfm') }}
    where instants_back = 0
),

currency_exponents as (
    select * from {{ ref('currency_exponents') }}
),

orders_with_exponent as (
    select
        o.*,
        coalesce(e.exponent, 2) as exponent
    from orders as o
    left join currency_exponents as e on o.currency = e.currency
),

final as (
    select
        -- ids
        tenant_id,
        order_id,
        order_number,
        customer_id,

        -- contents and status
        channel,
        tags,
        financial_status,
        fulfillment_status,
        source,

        -- amounts
        {{ major_units('total_minor', 'exponent') }} as total_amount,
        {{ major_units('subtotal_minor', 'exponent') }} as subtotal_amount,
        {{ major_units('refunded_minor', 'exponent') }} as refunded_amount,
        {{ major_units('current_total_minor', 'exponent') }} as current_total_amount,
        {{ major_units('current_subtotal_minor', 'exponent') }} as current_subtotal_amount,
        {{ major_units('net_minor', 'exponent') }} as net_amount,
        currency,

        -- what the order counts for
        is_sale,
        is_first_order,
        is_in_window,
        is_counted,
        exclusion_reasons[1] as primary_reason,
        exclusion_reasons,

        -- samples
        is_sample,
        case
            when is_ugc and is_tiktok then 'both'
            when is_ugc then 'ugc'
            when is_tiktok then 'tiktok'
        end as sample_type,

        -- timestamps
        ordered_at,
        (ordered_at at time zone time_zone)::date as ordered_on,
        date_trunc('month', ordered_at at time zone time_zone)::date as ordered_month,
        cancelled_at,
        first_fulfilled_at,
        delivered_at,
        as_of as calculated_at
    from orders_with_exponent
)

select * from final
