with

tenants as (
    select * from {{ ref('int_tenants_built') }}
),

matches as (
    select * from {{ ref('int_orders_matched_as_samples') }}
),

orders as not materialized (
    select * from {{ ref('stg_shopify__orders') }}
),

customers as not materialized (
    select * from {{ ref('stg_shopify__customers') }}
),

-- With an index, look up the orders and customers of samples one by one. Samples are few, so
-- reading all customers takes longer.
sample_orders as materialized (
    select
        m.is_ugc,
        m.is_tiktok,
        m.matched_tags,
        m.matched_patterns,
        m.price_reason,
        o.*
    from matches as m
    inner join tenants as t on m.tenant_id = t.tenant_id
    cross join lateral (
        select d.*
        from orders as d
        where d.tenant_id = m.tenant_id and d.order_id = m.order_id
        {{ 'offset 0' if are_orders_indexed() }} -- noqa: AM09
    ) as o
),

final as (
    select
        s.tenant_id,
        s.order_id,
        s.order_number,
        s.customer_id,
        coalesce(s.customer_name, c.display_name) as customer_name,
        coalesce(s.customer_email, c.email) as customer_email,
        s.is_ugc,
        s.is_tiktok,
        s.matched_tags,
        s.matched_patterns,
        s.price_reason,
        s.channel,
        coalesce(s.tags, '{}') as tags,
        s.note,
        coalesce(s.line_items, '[]') as line_items,
        s.currency,
        s.fulfillment_status,
        s.ordered_at,
        s.cancelled_at,
        s.first_fulfilled_at,
        s.delivered_at
    from sample_orders as s
    left join lateral (
        select
            k.display_name,
            k.email
        from customers as k
        where k.tenant_id = s.tenant_id and k.customer_id = s.customer_id
        {{ 'offset 0' if are_orders_indexed() }} -- noqa: AM09
    ) as c on true
)

select * from final
