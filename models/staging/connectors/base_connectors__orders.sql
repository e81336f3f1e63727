{{ config(enabled=var('source_layout') != 'native') }}

{%- set names = {
    'lines': 'order_line', 'refunds': 'a refund of transaction', 'fulfillments': 'fulfillment'
} if var('source_layout') == 'fivetran' else {
    'lines': 'line_items', 'refunds': 'refunds', 'fulfillments': 'fulfillments'
} %}

with

orders as (
    select * from {{ ref('base_connectors__orders_priced') }}
),

line_items as (
    select * from {{ ref('base_connectors__line_items') }}
),

refunds as (
    select * from {{ ref('base_connectors__refunds') }}
),

fulfillments as (
    select * from {{ ref('base_' ~ var('source_layout') ~ '__fulfillments') }}
),

-- A source that is listed twice must not double its orders.
sales_channels as (
    select
        order_source::text as order_source,
        min(channel::text) as channel
    from {{ overridable_seed('sales_channels') }}
    group by order_source::text
),

-- Statuses are an open set. A fulfilment counts unless its status is known to mean that it did not
-- happen.
first_fulfillments as (
    select
        source_schema,
        order_id,
        min(created_at) as first_fulfilled_at,
        min(problem) as problem
    from fulfillments
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
            case
                when o.contact_email is null then {{ customer_id_of_phone('o.contact_phone') }}
            end
        ) as customer_id,
        o.contact_email as customer_email,
        case when o.contact_email is null then o.contact_phone end as customer_phone,
        coalesce(
            o.customer_name,
            nullif(btrim(o.billing_name), ''),
            nullif(btrim(o.shipping_name), '')
        ) as customer_name,
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
        coalesce(o.tag_list, '{}') as tags,
        o.note,
        coalesce(l.line_items, '[]') as line_items,
        p.first_fulfilled_at,
        null::timestamptz as delivered_at,
        'api' as source,
        o.updated_at as shopify_updated_at,
        o.landed_at,
        null::timestamptz as deleted_at,
        coalesce(
            o.problem,
            {{ missing('o.id', 'id') }},
            {{ missing('coalesce(o.processed_at, o.created_at)', 'processed_at') }},
            {{ missing('o.currency_code', 'currency') }},
            case
                when o.currency_code !~ '^[A-Z]{3}$'
                    then 'currency ''' || left(o.currency, 40) || ''' is not a currency code'
            end,
            {{ missing('o.total_price', 'total_price') }},
            {%- for amount in order_amounts() %}
            {{ impossible_amount('o', amount ~ '_price', amount ~ '_minor') }},
            {%- endfor %}
            '{{ names.lines }}: ' || l.problem,
            '{{ names.refunds }}: ' || r.problem,
            '{{ names.fulfillments }}: ' || p.problem
        ) as rejection_reason
    from orders as o
    left join sales_channels as by_name on o.source_name = by_name.order_source
    left join sales_channels as by_app on o.app_id = by_app.order_source
    left join line_items as l on o.source_schema = l.source_schema and o.id = l.order_id
    left join refunds as r on o.source_schema = r.source_schema and o.id = r.order_id
    left join first_fulfillments as p on o.source_schema = p.source_schema and o.id = p.order_id
)

select * from final
