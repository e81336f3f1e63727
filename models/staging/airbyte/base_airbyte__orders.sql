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
        'id': 'id',
        'name': 'text',
        'customer': 'jsonb',
        'email': 'text',
        'phone': 'text',
        'created_at': 'time',
        'processed_at': 'time',
        'cancelled_at': 'time',
        'updated_at': 'time',
        'deleted_at': 'time',
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
        'tags': 'text',
        'note': 'text',
        'line_items': 'jsonb',
        'fulfillments': 'jsonb',
        'refunds': 'jsonb',
        '_airbyte_extracted_at': 'time',
        '_airbyte_meta': 'jsonb',
    }, required=[
        'id', 'customer', 'currency', 'total_price', 'financial_status', 'tags', 'refunds',
        'processed_at|created_at',
    ]) }}
),

-- Airbyte keeps only the id and the time of a deleted order.
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

landed_allocations as (
    select
        l.tenant_id,
        l.order_id,
        l.position,
        {{ number_or_null("(d.allocation ->> 'amount')") }} as amount
    from landed_lines as l
    cross join
        lateral {{ json_objects('l.line', '$.discount_allocations[*]') }} as d (allocation)
),

-- Discount codes and automatic discounts are allocated to lines; total_discount, which is older,
-- has the discounts of drafts and scripts and may repeat them.
allocations as (
    select
        tenant_id,
        order_id,
        position,
        sum(amount) as amount,
        bool_or(amount is null) as is_incomplete
    from landed_allocations
    group by tenant_id, order_id, position
),

priced_lines as (
    select
        l.*,
        {{ number_or_null("(l.line ->> 'price')") }} as price,
        {{ number_or_null("(l.line ->> 'quantity')") }} as quantity,
        {{ number_or_null("(l.line ->> 'total_discount')") }} as total_discount,
        a.amount as allocated,
        a.is_incomplete
    from landed_lines as l
    left join allocations as a
        on
            l.tenant_id = a.tenant_id
            and l.order_id = a.order_id
            and l.position = a.position
),

assessed_lines as (
    select
        l.*,
        {{ minor_units('l.price', 'l.exponent') }} as unit_price_minor,
        {{ line_total_minor('l.price', 'l.quantity', 'l.total_discount', 'l.allocated',
            'l.exponent') }} as total_minor,
        case
            when l.price is null
                then {{ missing_or_unreadable("l.line ->> 'price'", 'price', 'number') }}
            when l.quantity is null
                then {{ missing_or_unreadable("l.line ->> 'quantity'", 'quantity', 'number') }}
            when l.total_discount is null and l.line ->> 'total_discount' <> ''
                then {{ missing_or_unreadable(
                    "l.line ->> 'total_discount'", 'total_discount', 'number'
                ) }}
            when l.is_incomplete then 'an allocated discount is missing'
        end as problem
    from priced_lines as l
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
                'quantity', trim_scale(quantity),
                'unit_price_minor', unit_price_minor,
                'total_minor', total_minor
            )
            order by position
        ) as line_items,
        sum(total_minor) as total_minor,
        min(
            coalesce(
                problem,
                case when total_minor is null then 'price times quantity is no possible amount' end
            )
        ) as problem
    from assessed_lines
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
landed_refunds as (
    select
        o.tenant_id,
        o.id as order_id,
        o.currency_code,
        o.shop_total,
        o.presentment_total,
        t.transaction,
        {{ number_or_null("(t.transaction ->> 'amount')") }} as amount
    from orders as o
    cross join lateral {{ json_objects('o.refunds', '$[*].transactions[*]') }} as t (transaction)
    where
        lower(t.transaction ->> 'kind') = 'refund'
        and lower(t.transaction ->> 'status') = 'success'
),

converted_refunds as (
    select
        tenant_id,
        order_id,
        case
            when
                coalesce(upper(btrim(transaction ->> 'currency')) = currency_code, true)
                or amount = 0
                then amount
            when presentment_total > 0 then amount * shop_total / presentment_total
        end as amount,
        case
            when amount is null
                then {{ missing_or_unreadable("transaction ->> 'amount'", 'amount', 'number') }}
        end as problem
    from landed_refunds
),

refunds as (
    select
        tenant_id,
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
    group by tenant_id, order_id
),

-- Statuses are an open set. A fulfilment counts unless its status is known to mean that it did not
-- happen.
landed_fulfillments as (
    select
        o.tenant_id,
        o.id as order_id,
        f.parcel ->> 'created_at' as created_text
    from orders as o
    cross join lateral {{ json_objects('o.fulfillments', '$[*]') }} as f (parcel)
    where coalesce(lower(f.parcel ->> 'status') not in ('cancelled', 'error', 'failure'), true)
),

timed_fulfillments as (
    select
        *,
        {{ time_or_null('created_text') }} as created_at
    from landed_fulfillments
),

first_fulfillments as (
    select
        tenant_id,
        order_id,
        min(created_at) as first_fulfilled_at,
        min(
            case
                when created_text <> '' and created_at is null
                    then {{ missing_or_unreadable('created_text', 'created_at', 'time') }}
            end
        ) as problem
    from timed_fulfillments
    group by tenant_id, order_id
),

-- Airbyte loads a null for a cell that it cannot store, and lists it. Of the columns read here only
-- the number and the note may be lost. Older versions list a sentence with the column's name.
lost_cells as (
    select
        o.tenant_id,
        o.id as order_id,
        min(n.lost) as lost
    from orders as o
    cross join
        lateral (
            select split_part(c.change ->> 'field', '.', 1) as lost
            from {{ json_objects('o._airbyte_meta', '$.changes[*]') }} as c (change)

            union all

            select substring(e.error #>> '{}' from '`([^`]+)`') as lost
            from jsonb_path_query(o._airbyte_meta, '$.errors[*]') as e (error)
        ) as n
    where
        o._airbyte_meta is not null
        and n.lost in (
            'id', 'customer', 'created_at', 'processed_at', 'cancelled_at', 'updated_at',
            'deleted_at', 'test', 'currency', 'total_price', 'total_price_set', 'subtotal_price',
            'current_total_price', 'current_subtotal_price', 'financial_status',
            'fulfillment_status', 'source_name', 'app_id', 'tags', 'line_items', 'fulfillments',
            'refunds', 'email'
        )
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
        {{ id_or_digest('o.id', 'o') }} as order_id,
        o.name as order_number,
        coalesce(
            c.customer_id,
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
        o._airbyte_extracted_at as landed_at,
        null::timestamptz as deleted_at,
        coalesce(
            o.unreadable,
            'Airbyte could not load ' || w.lost,
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
            {%- for column, type in {
                'customer': 'object', 'line_items': 'array', 'fulfillments': 'array',
                'refunds': 'array',
            }.items() %}
            case
                when jsonb_typeof(o.{{ column }}) not in ('{{ type }}', 'null')
                    then '{{ column }} is no {{ type }}'
            end,
            {%- endfor %}
            'line_items: ' || l.problem,
            'refunds: ' || r.problem,
            'fulfillments: ' || p.problem
        ) as rejection_reason
    from orders as o
    left join customers as c on o.tenant_id = c.tenant_id and o.id = c.order_id
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
    left join tags as g on o.tenant_id = g.tenant_id and o.id = g.order_id
    left join line_items as l on o.tenant_id = l.tenant_id and o.id = l.order_id
    left join refunds as r on o.tenant_id = r.tenant_id and o.id = r.order_id
    left join first_fulfillments as p on o.tenant_id = p.tenant_id and o.id = p.order_id
    left join lost_cells as w on o.tenant_id = w.tenant_id and o.id = w.order_id
)

select * from final
