{{ config(enabled=var('source_layout') == 'fivetran') }}

with

tenants as (
    select
        tenant_id::uuid as tenant_id,
        source_schema
    from {{ overridable_seed('tenants_by_schema') }}
),

currency_exponents as (
    select * from {{ ref('currency_exponents') }}
),

sales_channels as (
    select
        order_source::text as order_source,
        channel
    from {{ overridable_seed('sales_channels') }}
),

landed_orders as (
    {{- union_source_schemas('fivetran_shopify', 'order', {
        'id': 'bigint',
        'name': 'text',
        'customer_id': 'bigint',
        'email': 'text',
        'created_at': 'timestamptz',
        'processed_at': 'timestamptz',
        'cancelled_at': 'timestamptz',
        'updated_at': 'timestamptz',
        'test': 'boolean',
        'currency': 'text',
        'total_price': 'numeric',
        'total_price_set': 'jsonb',
        'subtotal_price': 'numeric',
        'financial_status': 'text',
        'fulfillment_status': 'text',
        'source_name': 'text',
        'app_id': 'text',
        'note': 'text',
        '_fivetran_synced': 'timestamptz',
        '_fivetran_deleted': 'boolean',
    }) }}
),

landed_lines as (
    {{- union_source_schemas('fivetran_shopify', 'order_line', {
        'order_id': 'bigint',
        'index': 'int',
        'title': 'text',
        'variant_title': 'text',
        'sku': 'text',
        'quantity': 'int',
        'price': 'numeric',
        'total_discount': 'numeric',
    }) }}
),

landed_tags as (
    {{- union_source_schemas('fivetran_shopify', 'order_tag', {
        'order_id': 'bigint',
        'index': 'int',
        'value': 'text',
    }) }}
),

landed_transactions as (
    {{- union_source_schemas('fivetran_shopify', 'transaction', {
        'order_id': 'bigint',
        'kind': 'text',
        'status': 'text',
        'currency': 'text',
        'amount': 'numeric',
    }) }}
),

landed_fulfillments as (
    {{- union_source_schemas('fivetran_shopify', 'fulfillment', {
        'order_id': 'bigint',
        'status': 'text',
        'created_at': 'timestamptz',
    }) }}
),

landed_customers as (
    {{- union_source_schemas('fivetran_shopify', 'customer', {
        'id': 'bigint',
        'first_name': 'text',
        'last_name': 'text',
        'email': 'text',
        'phone': 'text',
    }) }}
),

orders as (
    select
        t.tenant_id,
        coalesce(e.exponent, 2) as exponent,
        (o.total_price_set #>> '{shop_money,amount}')::numeric as shop_total,
        (o.total_price_set #>> '{presentment_money,amount}')::numeric as presentment_total,
        o.*
    from landed_orders as o
    inner join tenants as t on o.source_schema = t.source_schema
    left join currency_exponents as e on o.currency = e.currency
    where o._fivetran_deleted is not true
),

line_items as (
    select
        o.source_schema,
        o.id as order_id,
        jsonb_agg(
            jsonb_build_object(
                'title', l.title,
                'variant_title', nullif(l.variant_title, ''),
                'sku', nullif(l.sku, ''),
                'quantity', l.quantity,
                'unit_price_minor', {{ minor_units('l.price', 'o.exponent') }},
                'total_minor', {{ minor_units(
                    'l.price * l.quantity - coalesce(l.total_discount, 0)', 'o.exponent'
                ) }}
            )
            order by l.index
        ) as line_items
    from orders as o
    inner join landed_lines as l on o.source_schema = l.source_schema and o.id = l.order_id
    group by o.source_schema, o.id
),

tags as (
    select
        source_schema,
        order_id,
        array_agg(value order by index) as tags
    from landed_tags
    group by source_schema, order_id
),

-- A refund is in the currency that the buyer paid in. The order's total, which is in both
-- currencies, gives the exchange rate.
refunds as (
    select
        o.source_schema,
        o.id as order_id,
        sum(
            case
                when t.currency <> o.currency and o.presentment_total > 0
                    then t.amount * o.shop_total / o.presentment_total
                else t.amount
            end
        ) as amount
    from orders as o
    inner join landed_transactions as t on o.source_schema = t.source_schema and o.id = t.order_id
    where lower(t.kind) = 'refund' and lower(t.status) = 'success'
    group by o.source_schema, o.id
),

-- Statuses are an open set. A fulfilment counts unless its status is known to mean that it did not
-- happen.
first_fulfillments as (
    select
        source_schema,
        order_id,
        min(created_at) as first_fulfilled_at
    from landed_fulfillments
    where coalesce(lower(status) not in ('cancelled', 'error', 'failure'), true)
    group by source_schema, order_id
),

final as (
    select
        o.tenant_id,
        o.id::text as order_id,
        o.name as order_number,
        o.customer_id::text as customer_id,
        coalesce(nullif(c.email, ''), nullif(o.email, '')) as customer_email,
        {{ customer_display_name('c') }} as customer_name,
        coalesce(o.processed_at, o.created_at) as processed_at,
        o.cancelled_at,
        coalesce(o.test, false) as is_test,
        o.currency,
        {{ minor_units('o.total_price', 'o.exponent') }} as total_minor,
        {{ minor_units('o.subtotal_price', 'o.exponent') }} as subtotal_minor,
        {{ minor_units('coalesce(r.amount, 0)', 'o.exponent') }} as refunded_minor,
        upper(o.financial_status) as financial_status,
        {{ graphql_fulfillment_status('o.fulfillment_status') }} as fulfillment_status,
        coalesce(by_name.channel, by_app.channel, o.source_name) as channel,
        coalesce(g.tags, '{}') as tags,
        o.note,
        coalesce(l.line_items, '[]') as line_items,
        p.first_fulfilled_at,
        null::timestamptz as delivered_at,
        'api' as source,
        o.updated_at as shopify_updated_at,
        o._fivetran_synced as landed_at,
        null::timestamptz as deleted_at
    from orders as o
    left join landed_customers as c
        on o.source_schema = c.source_schema and o.customer_id = c.id
    left join sales_channels as by_name on o.source_name = by_name.order_source
    left join sales_channels as by_app on o.app_id = by_app.order_source
    left join tags as g on o.source_schema = g.source_schema and o.id = g.order_id
    left join line_items as l on o.source_schema = l.source_schema and o.id = l.order_id
    left join refunds as r on o.source_schema = r.source_schema and o.id = r.order_id
    left join first_fulfillments as p on o.source_schema = p.source_schema and o.id = p.order_id
)

select * from final
