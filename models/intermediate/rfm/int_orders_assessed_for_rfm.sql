{#-
    Why an order may not count, the most telling reason first. No condition is ever null, and an
    order counts when none of them holds.
-#}
{%- set about_the_order = {
    'test': "o.is_test",
    'cancelled': "(o.cancelled_at is not null)",
    'voided': "coalesce(upper(o.financial_status) = 'VOIDED', false)",
    'sample': "(s.order_id is not null)",
    'refunded_in_full': "(o.total_minor > 0 and o.total_minor <= o.refunded_minor)",
    'zero_value': "(o.total_minor <= 0 or (o.total_minor > o.refunded_minor"
        " and o.total_minor - o.refunded_minor < w.minimum_minor))",
    'foreign_currency': "(o.currency is distinct from w.currency)",
} -%}
{%- set about_who_and_when = {
    'no_customer': "(o.customer_id is null)",
    'excluded_customer': "(x.customer_id is not null)",
    'outside_window': "(o.ordered_at < w.window_starts_at or o.ordered_at >= w.as_of)",
} -%}
{%- set reasons = dict(about_the_order, **about_who_and_when) -%}

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

excluded_customers as (
    select * from {{ ref('int_customers_excluded_from_rfm') }}
),

final as (
    select
        -- ids
        o.tenant_id,
        w.instants_back,
        o.order_id,
        o.order_number,
        o.customer_id,

        -- measures
        o.currency,
        o.total_minor - o.refunded_minor as net_minor,

        -- whether it is a sale at all, and whether it counts
        not {{ about_the_order.values() | join('\n        and not ') }} as is_sale,
        not {{ reasons.values() | join('\n        and not ') }} as is_counted,
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
        w.as_of
    from orders as o
    inner join windows as w on o.tenant_id = w.tenant_id
    left join samples as s
        on o.tenant_id = s.tenant_id and o.order_id = s.order_id and not w.is_sample_counted
    left join excluded_customers as x
        on o.tenant_id = x.tenant_id and o.customer_id = x.customer_id
)

select * from final
