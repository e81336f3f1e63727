{%- set use_index = are_orders_indexed() -%}

with

near_misses as (
    select * from {{ ref('int_near_misses_found') }}
),

orders as not materialized (
    select * from {{ ref('stg_shopify__orders') }}
),

customers as not materialized (
    select * from {{ ref('stg_shopify__customers') }}
),

currency_exponents as (
    select * from {{ ref('currency_exponents') }}
),

described as (
    select
        n.reason,
        n.evidence,
        o.*
    from near_misses as n
    cross join lateral (
        select d.*
        from orders as d
        where d.tenant_id = n.tenant_id and d.order_id = n.order_id
        {{ 'offset 0' if use_index }} -- noqa: AM09
    ) as o
),

final as (
    select
        d.tenant_id,
        d.order_id,
        d.reason,
        d.evidence,
        d.order_number,
        d.customer_id,
        coalesce(d.customer_name, c.display_name) as customer_name,
        coalesce(d.customer_email, c.email) as customer_email,
        d.channel,
        coalesce(d.tags, '{}') as tags,
        {{ major_units('d.subtotal_minor', 'coalesce(e.exponent, 2)') }} as goods_paid,
        d.currency,
        d.ordered_at
    from described as d
    left join lateral (
        select
            k.display_name,
            k.email
        from customers as k
        where k.tenant_id = d.tenant_id and k.customer_id = d.customer_id
        {{ 'offset 0' if use_index }} -- noqa: AM09
    ) as c on true
    left join currency_exponents as e on d.currency = e.currency
)

select * from final
