{{ config(enabled=var('source_layout') == 'airbyte') }}

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
    {{- union_source_schemas('airbyte_shopify', 'orders', {
        'id': 'bigint',
        'name': 'text',
        'customer': 'jsonb',
        'email': 'text',
        'created_at': 'timestamptz',
        'processed_at': 'timestamptz',
        'cancelled_at': 'timestamptz',
        'updated_at': 'timestamptz',
        'deleted_at': 'timestamptz',
        'test': 'boolean',
        'currency': 'text',
        'total_price': 'numeric',
        'total_price_set': 'jsonb',
        'subtotal_price': 'numeric',
        'financial_status': 'text',
        'fulfillment_status': 'text',
        'source_name': 'text',
        'app_id': 'text',
        'tags': 'text',
        'note': 'text',
        'line_items': 'jsonb',
        'fulfillments': 'jsonb',
        'refunds': 'jsonb',
        '_airbyte_extracted_at': 'timestamptz',
    }) }}
),

-- Airbyte keeps only the id and the time of a deleted order.
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
    where o.deleted_at is null
),

-- JSON paths, here and below, skip a null or a scalar in place of a list of objects.
landed_lines as (
    select
        o.tenant_id,
        o.id as order_id,
        o.exponent,
        l.line,
        l.position
    from orders as o
    cross join
        lateral {{ json_objects('o.line_items', '$[*]') }} with ordinality as l (line, position)
),

priced_lines as (
    select
        l.*,
        (l.line ->> 'price')::numeric as price,
        (l.line ->> 'quantity')::int as quantity,
        (
            select coalesce(sum((d.allocation ->> 'amount')::numeric), 0)
            from {{ json_objects('l.line', '$.discount_allocations[*]') }} as d (allocation)
        ) as discount
    from landed_lines as l
),

line_items as (
    select
        tenant_id,
        order_id,
        jsonb_agg(
            jsonb_build_object(
                'title', line ->> 'title',
                'variant_title', nullif(line ->> 'variant_title', ''),
                'sku', nullif(line ->> 'sku', ''),
                'quantity', quantity,
                'unit_price_minor', {{ minor_units('price', 'exponent') }},
                'total_minor', {{ minor_units('price * quantity - discount', 'exponent') }}
            )
            order by position
        ) as line_items
    from priced_lines
    group by tenant_id, order_id
),

tags as (
    select
        o.tenant_id,
        o.id as order_id,
        array_agg(btrim(t.tag) order by t.position) as tags
    from orders as o
    cross join lateral string_to_table(o.tags, ',') with ordinality as t (tag, position)
    where btrim(t.tag) <> ''
    group by o.tenant_id, o.id
),

-- A refund is in the currency that the buyer paid in. The order's total, which is in both
-- currencies, gives the exchange rate.
refunds as (
    select
        o.tenant_id,
        o.id as order_id,
        sum(
            case
                when t.transaction ->> 'currency' <> o.currency and o.presentment_total > 0
                    then (t.transaction ->> 'amount')::numeric * o.shop_total / o.presentment_total
                else (t.transaction ->> 'amount')::numeric
            end
        ) as amount
    from orders as o
    cross join lateral {{ json_objects('o.refunds', '$[*].transactions[*]') }} as t (transaction)
    where
        lower(t.transaction ->> 'kind') = 'refund'
        and lower(t.transaction ->> 'status') = 'success'
    group by o.tenant_id, o.id
),

-- Statuses are an open set. A fulfilment counts unless its status is known to mean that it did not
-- happen.
first_fulfillments as (
    select
        o.tenant_id,
        o.id as order_id,
        min((f.parcel ->> 'created_at')::timestamptz) as first_fulfilled_at
    from orders as o
    cross join lateral {{ json_objects('o.fulfillments', '$[*]') }} as f (parcel)
    where coalesce(lower(f.parcel ->> 'status') not in ('cancelled', 'error', 'failure'), true)
    group by o.tenant_id, o.id
),

customers as (
    select
        tenant_id,
        id as order_id,
        customer ->> 'id' as customer_id,
        customer ->> 'first_name' as first_name,
        customer ->> 'last_name' as last_name,
        customer ->> 'email' as email,
        customer ->> 'phone' as phone
    from orders
),

final as (
    select
        o.tenant_id,
        o.id::text as order_id,
        o.name as order_number,
        c.customer_id,
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
        o._airbyte_extracted_at as landed_at,
        null::timestamptz as deleted_at
    from orders as o
    inner join customers as c on o.tenant_id = c.tenant_id and o.id = c.order_id
    left join sales_channels as by_name on o.source_name = by_name.order_source
    left join sales_channels as by_app on o.app_id = by_app.order_source
    left join tags as g on o.tenant_id = g.tenant_id and o.id = g.order_id
    left join line_items as l on o.tenant_id = l.tenant_id and o.id = l.order_id
    left join refunds as r on o.tenant_id = r.tenant_id and o.id = r.order_id
    left join first_fulfillments as p on o.tenant_id = p.tenant_id and o.id = p.order_id
)

select * from final
