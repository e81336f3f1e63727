{#
    CTEs from `tenants` to `final` that make orders, as shopify.orders has them, of six CTEs of the
    layout: source_orders, order_lines, products, order_tags, order_refunds and order_fulfillments.
#}
{% macro connector_orders(lines, refunds, fulfillments) -%}
tenants as (
    select
        tenant_id,
        source_schema
    from {{ ref('base_seeds__tenants') }}
),

currency_exponents as (
    select * from {{ ref('currency_exponents') }}
),

-- A source that is listed twice must not double its orders.
sales_channels as (
    select
        order_source::text as order_source,
        min(channel::text) as channel
    from {{ overridable_seed('sales_channels') }}
    group by order_source::text
),

orders as (
    select
        t.tenant_id,
        coalesce(e.exponent, 2) as exponent,
        upper(btrim(o.currency)) as currency_code,
        coalesce({{ clean_address('o.customer_email') }}, {{ clean_address('o.email') }})
            as contact_email,
        {{ phone_number("coalesce(nullif(o.customer_phone, ''), o.phone)") }} as contact_phone,
        {%- for amount in order_amounts() %}
        {{ minor_units('o.' ~ amount ~ '_price', 'coalesce(e.exponent, 2)') }} as {{ amount }}_minor,
        {%- endfor %}
        o.*
    from source_orders as o
    inner join tenants as t on o.source_schema = t.source_schema
    left join currency_exponents as e on upper(btrim(o.currency)) = e.currency
),

-- A product that was loaded twice must not double its lines.
product_types as (
    select
        source_schema,
        id,
        max(product_type) as product_type
    from products
    group by source_schema, id
),

-- `offset 0`, here and in the layouts, makes PostgreSQL parse and convert a value once.
priced_lines as (
    select
        o.source_schema,
        o.id as order_id,
        l.ordinal,
        l.title,
        l.variant_title,
        l.sku,
        trim_scale(l.quantity) as quantity,
        {{ minor_units('l.price', 'o.exponent') }} as unit_price_minor,
        {{ line_total_minor('l.price', 'l.quantity', 'l.total_discount', 'l.allocated_discount',
            'o.exponent') }} as total_minor,
        nullif(btrim(p.product_type), '') as product_type,
        l.problem
    from orders as o
    inner join order_lines as l on o.source_schema = l.source_schema and o.id = l.order_id
    left join product_types as p on l.source_schema = p.source_schema and l.product_id = p.id
    offset 0 -- noqa: AM09
),

-- Only a known product type is a key of the line, as in shopify.orders.
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
            || case
                when product_type is null then '{}'
                else jsonb_build_object('product_type', product_type)
            end
            order by ordinal
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
        array_agg(tag order by ordinal) as tags
    from order_tags
    where tag is not null
    group by source_schema, order_id
),

-- A refund is in the currency that the buyer paid in. The order's total, which is in both
-- currencies, gives the exchange rate.
converted_refunds as (
    select
        o.source_schema,
        o.id as order_id,
        case
            when coalesce(upper(btrim(r.currency)) = o.currency_code, true) or r.amount = 0
                then r.amount
            when o.presentment_total > 0 then r.amount * o.shop_total / o.presentment_total
        end as amount,
        r.problem
    from orders as o
    inner join order_refunds as r on o.source_schema = r.source_schema and o.id = r.order_id
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
        min(problem) as problem
    from order_fulfillments
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
        coalesce(g.tags, '{}') as tags,
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
            '{{ lines }}: ' || l.problem,
            '{{ refunds }}: ' || r.problem,
            '{{ fulfillments }}: ' || p.problem
        ) as rejection_reason
    from orders as o
    left join sales_channels as by_name on o.source_name = by_name.order_source
    left join sales_channels as by_app on o.app_id = by_app.order_source
    left join tags as g on o.source_schema = g.source_schema and o.id = g.order_id
    left join line_items as l on o.source_schema = l.source_schema and o.id = l.order_id
    left join refunds as r on o.source_schema = r.source_schema and o.id = r.order_id
    left join first_fulfillments as p on o.source_schema = p.source_schema and o.id = p.order_id
)
{%- endmacro %}


{% macro order_amounts() -%}
    {{ return(['total', 'subtotal', 'current_total', 'current_subtotal']) }}
{%- endmacro %}


{#
    CTEs from `tenants` to `final` that make customers, as shopify.customers has them, of the CTEs
    source_customers and customer_tags of the layout.
#}
{% macro connector_customers() -%}
tenants as (
    select
        tenant_id,
        source_schema
    from {{ ref('base_seeds__tenants') }}
),

tags as (
    select
        source_schema,
        customer_id,
        array_agg(tag order by ordinal) as tags
    from customer_tags
    where tag is not null
    group by source_schema, customer_id
),

final as (
    select
        t.tenant_id,
        {{ id_or_digest('c.id', 'c') }} as customer_id,
        {{ clean_address('c.email') }} as email,
        {{ customer_display_name('c.first_name', 'c.last_name', 'c.email', 'c.phone') }}
            as display_name,
        upper(c.marketing_state) as marketing_state,
        coalesce(g.tags, '{}') as tags,
        c.created_at,
        c.updated_at as shopify_updated_at,
        c.landed_at,
        null::timestamptz as deleted_at,
        coalesce(c.problem, {{ missing('c.id', 'id') }}) as rejection_reason
    from source_customers as c
    inner join tenants as t on c.source_schema = t.source_schema
    left join tags as g on c.source_schema = g.source_schema and c.id = g.customer_id
)
{%- endmacro %}
