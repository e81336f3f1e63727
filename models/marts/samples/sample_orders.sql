with

tenants as (
    select * from {{ ref('int_tenants_built') }}
),

matches as (
    select * from {{ ref('int_orders_matched_as_samples') }}
),

orders as (
    select * from {{ ref('stg_shopify__orders') }}
    where {{ of_built_tenants() }}
),

customers as (
    select * from {{ ref('stg_shopify__customers') }}
),

fulfillment_statuses as (
    select * from {{ ref('fulfillment_statuses') }}
),

currency_exponents as (
    select * from {{ ref('currency_exponents') }}
),

sample_orders as (
    select
        m.is_ugc,
        m.is_tiktok,
        m.matched_tags,
        m.matched_patterns,
        o.*
    from matches as m
    inner join tenants as t on m.tenant_id = t.tenant_id
    inner join orders as o on m.tenant_id = o.tenant_id and m.order_id = o.order_id
),

-- Lines are read with a JSON path because it passes over what is not a line instead of failing.
lines as (
    select
        tenant_id,
        order_id,
        jsonb_path_query(
            line_items,
            '$[*] ? (@.unit_price_minor.type() == "number" && @.quantity.type() == "number")'
        ) as line_item
    from sample_orders
),

goods as (
    select
        tenant_id,
        order_id,
        sum(
            (line_item ->> 'unit_price_minor')::numeric * (line_item ->> 'quantity')::numeric
        ) as value_minor
    from lines
    group by tenant_id, order_id
),

final as (
    select
        -- ids
        o.tenant_id,
        o.order_id,
        o.order_number,
        o.customer_id,
        coalesce(o.customer_name, c.display_name) as customer_name,
        coalesce(o.customer_email, c.email) as customer_email,

        -- what makes it a sample
        o.is_ugc,
        o.is_tiktok,
        o.matched_tags,
        o.matched_patterns,

        -- how far it has come
        case
            when o.cancelled_at is not null then 'cancelled'
            else coalesce(f.status, 'pending')
        end as status,
        o.fulfillment_status,

        -- what it is
        o.channel,
        coalesce(o.tags, '{}') as tags,
        coalesce(o.line_items, '[]') as line_items,
        {{ major_units('g.value_minor', 'coalesce(e.exponent, 2)') }} as goods_value,
        o.currency,

        -- timestamps
        o.ordered_at,
        o.first_fulfilled_at,
        o.delivered_at
    from sample_orders as o
    left join goods as g on o.tenant_id = g.tenant_id and o.order_id = g.order_id
    left join customers as c on o.tenant_id = c.tenant_id and o.customer_id = c.customer_id
    left join fulfillment_statuses as f
        on upper(btrim(o.fulfillment_status)) = f.fulfillment_status
    left join currency_exponents as e on o.currency = e.currency
)

select
    tenant_id,
    order_id,
    order_number,
    customer_id,
    customer_name,
    customer_email,
    is_ugc,
    is_tiktok,
    matched_tags,
    matched_patterns,
    status,
    fulfillment_status,
    channel,
    tags,
    line_items,
    goods_value,
    currency,
    ordered_at,
    first_fulfilled_at,
    delivered_at
from final
