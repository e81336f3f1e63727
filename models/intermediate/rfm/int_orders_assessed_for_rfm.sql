{%- set reasons = dict(order_exclusion_reasons(), **customer_and_window_exclusion_reasons()) -%}

with

orders as (
    select * from {{ ref('stg_shopify__orders') }}
),

windows as (
    select * from {{ ref('int_windows_built_for_rfm') }}
),

samples as (
    select * from {{ ref('int_orders_matched_as_samples') }}
),

customers as (
    select * from {{ ref('customer_facts') }}
),

final as (
    select
        -- ids
        o.tenant_id,
        w.instants_back,
        o.order_id,
        o.order_number,
        o.customer_id,

        -- contents and status
        o.channel,
        o.tags,
        o.line_items,
        o.financial_status,
        o.fulfillment_status,
        o.source,

        -- measures
        o.currency,
        o.total_minor,
        o.subtotal_minor,
        o.refunded_minor,
        o.current_total_minor,
        o.current_subtotal_minor,
        o.net_minor,

        -- samples
        s.order_id is not null as is_sample,
        coalesce(s.is_ugc, false) as is_ugc,
        coalesce(s.is_tiktok, false) as is_tiktok,

        -- exclusion
        {{ is_sale() }} as is_sale,
        coalesce({{ is_sale() }} and o.ordered_at = c.first_order_at, false) as is_first_order,
        {{ reasons['outside_window'] }} is false as is_in_window,
        {{ none_of(reasons) }} as is_counted,
        array_remove(
            array[
                {%- for reason, condition in reasons.items() %}
                case when {{ condition }} then '{{ reason }}' end{{ ',' if not loop.last }}
                {%- endfor %}
            ],
            null
        ) as exclusion_reasons,

        -- timestamps
        o.ordered_at,
        o.cancelled_at,
        o.first_fulfilled_at,
        o.delivered_at,
        w.as_of,
        w.time_zone
    from orders as o
    inner join windows as w on o.tenant_id = w.tenant_id
    left join samples as s on o.tenant_id = s.tenant_id and o.order_id = s.order_id
    left join customers as c on o.tenant_id = c.tenant_id and o.customer_id = c.customer_id
)

select * from final
