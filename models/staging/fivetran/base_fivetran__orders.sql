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
        'id': 'id',
        'name': 'text',
        'customer_id': 'id',
        'email': 'text',
        'phone': 'text',
        'created_at': 'time',
        'processed_at': 'time',
        'cancelled_at': 'time',
        'updated_at': 'time',
        'test': 'boolean',
        'currency': 'text',
        'total_price': 'number',
        'total_price_set': 'text',
        'subtotal_price': 'number',
        'current_total_price': 'number',
        'current_subtotal_price': 'number',
        'financial_status': 'text',
        'fulfillment_status': 'text',
        'source_name': 'text',
        'app_id': 'id',
        'note': 'text',
        '_fivetran_synced': 'time',
        '_fivetran_deleted': 'boolean',
    }, required=[
        'id', 'customer_id', 'currency', 'total_price', 'financial_status',
        'processed_at|created_at',
    ]) }}
),

landed_lines as (
    {{- union_source_schemas('fivetran_shopify', 'order_line', {
        'order_id': 'id',
        'id': 'id',
        'index': 'number',
        'title': 'text',
        'variant_title': 'text',
        'sku': 'text',
        'quantity': 'number',
        'price': 'number',
        'total_discount': 'number',
    }, required=['order_id', 'quantity', 'price']) }}
),

landed_allocations as (
    {{- union_source_schemas('fivetran_shopify', 'discount_allocation', {
        'order_line_id': 'id',
        'amount': 'number',
    }, required=['order_line_id', 'amount'], is_optional=true) }}
),

landed_tags as (
    {{- union_source_schemas('fivetran_shopify', 'order_tag', {
        'order_id': 'id',
        'index': 'number',
        'value': 'text',
    }, required=['order_id', 'value']) }}
),

landed_transactions as (
    {{- union_source_schemas('fivetran_shopify', 'transaction', {
        'order_id': 'id',
        'kind': 'text',
        'status': 'text',
        'currency': 'text',
        'amount': 'number',
    }, required=['order_id', 'kind', 'status', 'amount']) }}
),

landed_fulfillments as (
    {{- union_source_schemas('fivetran_shopify', 'fulfillment', {
        'order_id': 'id',
        'status': 'text',
        'created_at': 'time',
    }, required=['order_id', 'created_at']) }}
),

landed_customers as (
    {{- union_source_schemas('fivetran_shopify', 'customer', {
        'id': 'id',
        'first_name': 'text',
        'last_name': 'text',
        'email': 'text',
        'phone': 'text',
    }, required=['id']) }}
),

orders as (
    select
        t.tenant_id,
        coalesce(e.exponent, 2) as exponent,
        upper(btrim(o.currency)) as currency_code,
        {{ minor_units('o.total_price', 'coalesce(e.exponent, 2)') }} as total_minor,
        {{ minor_units('o.subtotal_price', 'coalesce(e.exponent, 2)') }} as subtotal_minor,
        {{ minor_units('o.current_total_price', 'coalesce(e.exponent, 2)')
        }} as current_total_minor,
        {{ minor_units('o.current_subtotal_price', 'coalesce(e.exponent, 2)')
        }} as current_subtotal_minor,
        {{ amount_in_money_set('o.total_price_set', 'shop') }} as shop_total,
        {{ amount_in_money_set('o.total_price_set', 'presentment') }} as presentment_total,
        o.*
    from landed_orders as o
    inner join tenants as t on o.source_schema = t.source_schema
    left join currency_exponents as e on upper(btrim(o.currency)) = e.currency
    where o._fivetran_deleted is not true
),

-- Discount codes and automatic discounts are allocated to lines; total_discount, which is older,
-- has the discounts of drafts and scripts and may repeat them.
allocations as (
    select
        source_schema,
        order_line_id,
        sum(amount) as amount,
        bool_or(amount is null) as is_incomplete
    from landed_allocations
    group by source_schema, order_line_id
),

priced_lines as (
    select
        o.source_schema,
        o.id as order_id,
        l.index,
        l.title,
        l.variant_title,
        l.sku,
        trim_scale(l.quantity) as quantity,
        {{ minor_units('l.price', 'o.exponent') }} as unit_price_minor,
        {{ line_total_minor('l.price', 'l.quantity', 'l.total_discount', 'a.amount', 'o.exponent')
        }} as total_minor,
        coalesce(
            l.unreadable,
            {{ missing('l.price', 'price') }},
            {{ missing('l.quantity', 'quantity') }},
            case when a.is_incomplete then 'an allocated discount is missing' end
        ) as problem
    from orders as o
    inner join landed_lines as l on o.source_schema = l.source_schema and o.id = l.order_id
    left join allocations as a
        on l.source_schema = a.source_schema and l.id = a.order_line_id
),

line_items as (
    select
        source_schema,
        order_id,
        jsonb_agg(
            jsonb_build_object(
                'title', title,
                'variant_title', nullif(variant_title, ''),
                'sku', nullif(sku, ''),
                'quantity', quantity,
                'unit_price_minor', unit_price_minor,
                'total_minor', total_minor
            )
            order by index
        ) as line_items,
        sum(total_minor) as total_minor,
        min(
            coalesce(
                problem,
                case when total_minor is null then 'price times quantity is no possible amount' end
            )
        ) as problem
    from priced_lines
    group by source_schema, order_id
),

tags as (
    select
        source_schema,
        order_id,
        array_agg(value order by index) as tags
    from landed_tags
    where value is not null
    group by source_schema, order_id
),

-- A refund is in the currency that the buyer paid in. The order's total, which is in both
-- currencies, gives the exchange rate.
converted_refunds as (
    select
        o.source_schema,
        o.id as order_id,
        case
            when coalesce(upper(btrim(t.currency)) = o.currency_code, true) or t.amount = 0
                then t.amount
            when o.presentment_total > 0 then t.amount * o.shop_total / o.presentment_total
        end as amount,
        coalesce(t.unreadable, {{ missing('t.amount', 'amount') }}) as problem
    from orders as o
    inner join landed_transactions as t on o.source_schema = t.source_schema and o.id = t.order_id
    where lower(t.kind) = 'refund' and lower(t.status) = 'success'
),

refunds as (
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
),

-- Statuses are an open set. A fulfilment counts unless its status is known to mean that it did not
-- happen.
first_fulfillments as (
    select
        source_schema,
        order_id,
        min(created_at) as first_fulfilled_at,
        min(unreadable) as problem
    from landed_fulfillments
    where coalesce(lower(status) not in ('cancelled', 'error', 'failure'), true)
    group by source_schema, order_id
),

final as (
    select
        o.tenant_id,
        {{ id_or_digest('o.id', 'o') }} as order_id,
        o.name as order_number,
        coalesce(
            o.customer_id,
            case when k.email is null then {{ customer_id_of_phone('k.phone') }} end
        ) as customer_id,
        k.email as customer_email,
        case when k.email is null then k.phone end as customer_phone,
        {{ customer_display_name('c') }} as customer_name,
        coalesce(o.processed_at, o.created_at) as processed_at,
        o.cancelled_at,
        coalesce(o.test, false) as is_test,
        o.currency_code as currency,
        o.total_minor,
        -- Without a subtotal it is the sum of the lines.
        coalesce(o.subtotal_minor, l.total_minor::bigint, o.total_minor) as subtotal_minor,
        coalesce({{ minor_units('r.amount', 'o.exponent') }}, 0) as refunded_minor,
        o.current_total_minor,
        o.current_subtotal_minor,
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
        null::timestamptz as deleted_at,
        coalesce(
            o.unreadable,
            {{ missing('o.id', 'id') }},
            {{ missing('coalesce(o.processed_at, o.created_at)', 'processed_at') }},
            {{ missing('o.currency_code', 'currency') }},
            case
                when o.currency_code !~ '^[A-Z]{3}$'
                    then 'currency ''' || left(o.currency, 40) || ''' is not a currency code'
            end,
            {{ missing('o.total_price', 'total_price') }},
            {{ impossible_amount('o', 'total_price', 'total_minor') }},
            {{ impossible_amount('o', 'subtotal_price', 'subtotal_minor') }},
            {{ impossible_amount('o', 'current_total_price', 'current_total_minor') }},
            {{ impossible_amount('o', 'current_subtotal_price', 'current_subtotal_minor') }},
            'order_line: ' || l.problem,
            'a refund of transaction: ' || r.problem,
            'fulfillment: ' || p.problem
        ) as rejection_reason
    from orders as o
    left join landed_customers as c
        on o.source_schema = c.source_schema and o.customer_id = c.id
    cross join
        lateral (
            values (
                coalesce(
                    {{ clean_address('c.email') }}, {{ clean_address('o.email') }}
                ),
                {{ phone_number("coalesce(nullif(c.phone, ''), o.phone)") }}
            )
        ) as k (email, phone)
    left join sales_channels as by_name on o.source_name = by_name.order_source
    left join sales_channels as by_app on o.app_id = by_app.order_source
    left join tags as g on o.source_schema = g.source_schema and o.id = g.order_id
    left join line_items as l on o.source_schema = l.source_schema and o.id = l.order_id
    left join refunds as r on o.source_schema = r.source_schema and o.id = r.order_id
    left join first_fulfillments as p on o.source_schema = p.source_schema and o.id = p.order_id
)

select * from final
