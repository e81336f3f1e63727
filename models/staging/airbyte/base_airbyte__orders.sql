{{ config(enabled=var('source_layout') == 'airbyte') }}

with

landed_orders as (
    {{- union_source_schemas('airbyte_shopify', 'orders', {
        'id': 'id',
        'name': 'text',
        'customer': 'jsonb',
        'email': 'text',
        'phone': 'text',
        'billing_address': 'jsonb',
        'shipping_address': 'jsonb',
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
    ], is_optional=false) }}
),

products as (
    {{- union_source_schemas('airbyte_shopify', 'products', {
        'id': 'id',
        'product_type': 'text',
    }, required=['id']) }}
),

-- Airbyte keeps only the id and the time of a deleted order. It loads a null for a cell that it
-- cannot store, and lists it. Of the columns read here only the number, the note and the addresses
-- may be lost. Older versions list a sentence with the column's name.
source_orders as (
    select
        o.*,
        o.customer ->> 'id' as customer_id,
        {{ customer_display_name(
            "o.customer ->> 'first_name'", "o.customer ->> 'last_name'",
            "o.customer ->> 'email'", "o.customer ->> 'phone'"
        ) }} as customer_name,
        o.customer ->> 'email' as customer_email,
        o.customer ->> 'phone' as customer_phone,
        o.billing_address ->> 'name' as billing_name,
        o.shipping_address ->> 'name' as shipping_name,
        {{ amount_in_money_set('o.total_price_set', 'shop') }} as shop_total,
        {{ amount_in_money_set('o.total_price_set', 'presentment') }} as presentment_total,
        o._airbyte_extracted_at as landed_at,
        coalesce(
            o.unreadable,
            (
                select 'Airbyte could not load ' || min(n.lost)
                from (
                    select split_part(c.change ->> 'field', '.', 1) as lost
                    from {{ json_objects('o._airbyte_meta', '$.changes[*]') }} as c (change)

                    union all

                    select substring(e.error #>> '{}' from '`([^`]+)`') as lost
                    from jsonb_path_query(o._airbyte_meta, '$.errors[*]') as e (error)
                ) as n
                where
                    n.lost in (
                        'id', 'customer', 'created_at', 'processed_at', 'cancelled_at',
                        'updated_at', 'deleted_at', 'test', 'currency', 'total_price',
                        'total_price_set', 'subtotal_price', 'current_total_price',
                        'current_subtotal_price', 'financial_status', 'fulfillment_status',
                        'source_name', 'app_id', 'tags', 'line_items', 'fulfillments', 'refunds',
                        'email'
                    )
            ),
            {%- for column, type in {
                'customer': 'object', 'line_items': 'array', 'fulfillments': 'array',
                'refunds': 'array',
            }.items() %}
            case
                when jsonb_typeof(o.{{ column }}) not in ('{{ type }}', 'null')
                    then '{{ column }} is no {{ type }}'
            end{{ ',' if not loop.last }}
            {%- endfor %}
        ) as problem
    from landed_orders as o
    where o.deleted_at is null
),

-- JSON paths, here and below, skip a null or a scalar in place of a list of objects.
landed_lines as (
    select
        o.source_schema,
        o.id as order_id,
        l.line,
        l.ordinal,
        {{ number_or_null("(l.line ->> 'price')") }} as price,
        {{ number_or_null("(l.line ->> 'quantity')") }} as quantity,
        {{ number_or_null("(l.line ->> 'total_discount')") }} as total_discount,
        a.allocated_discount,
        a.is_incomplete
    from source_orders as o
    cross join
        lateral {{ json_objects('o.line_items', '$[*]') }} with ordinality as l (line, ordinal)
    -- Discount codes and automatic discounts are allocated to lines; total_discount, which is
    -- older, has the discounts of drafts and scripts and may repeat them.
    cross join
        lateral (
            select
                sum({{ number_or_null("(d.allocation ->> 'amount')") }}) as allocated_discount,
                bool_or(
                    ({{ number_or_null("(d.allocation ->> 'amount')") }}) is null
                ) as is_incomplete
            from {{ json_objects('l.line', '$.discount_allocations[*]') }} as d (allocation)
        ) as a
    offset 0 -- noqa: AM09
),

order_lines as (
    select
        source_schema,
        order_id,
        ordinal,
        line ->> 'product_id' as product_id,
        line ->> 'title' as title,
        line ->> 'variant_title' as variant_title,
        line ->> 'sku' as sku,
        quantity,
        price,
        total_discount,
        allocated_discount,
        case
            when price is null
                then {{ missing_or_unreadable("line ->> 'price'", 'price', 'number') }}
            when quantity is null
                then {{ missing_or_unreadable("line ->> 'quantity'", 'quantity', 'number') }}
            when total_discount is null and line ->> 'total_discount' <> ''
                then {{ missing_or_unreadable(
                    "line ->> 'total_discount'", 'total_discount', 'number'
                ) }}
            when is_incomplete then 'an allocated discount is missing'
        end as problem
    from landed_lines
),

order_tags as (
    select
        o.source_schema,
        o.id as order_id,
        t.ordinal,
        nullif(btrim(t.tag), '') as tag
    from source_orders as o
    cross join lateral string_to_table(o.tags, ',') with ordinality as t (tag, ordinal)
),

landed_refunds as (
    select
        o.source_schema,
        o.id as order_id,
        t.transaction ->> 'currency' as currency,
        t.transaction ->> 'amount' as amount_text,
        {{ number_or_null("(t.transaction ->> 'amount')") }} as amount
    from source_orders as o
    cross join lateral {{ json_objects('o.refunds', '$[*].transactions[*]') }} as t (transaction)
    where
        lower(t.transaction ->> 'kind') = 'refund'
        and lower(t.transaction ->> 'status') = 'success'
),

order_refunds as (
    select
        *,
        case
            when amount is null
                then {{ missing_or_unreadable('amount_text', 'amount', 'number') }}
        end as problem
    from landed_refunds
),

landed_fulfillments as (
    select
        o.source_schema,
        o.id as order_id,
        f.parcel ->> 'status' as status,
        f.parcel ->> 'created_at' as created_text,
        {{ time_or_null("(f.parcel ->> 'created_at')") }} as created_at
    from source_orders as o
    cross join lateral {{ json_objects('o.fulfillments', '$[*]') }} as f (parcel)
    offset 0 -- noqa: AM09
),

order_fulfillments as (
    select
        *,
        case
            when created_text <> '' and created_at is null
                then {{ missing_or_unreadable('created_text', 'created_at', 'time') }}
        end as problem
    from landed_fulfillments
),

{{ connector_orders(lines='line_items', refunds='refunds', fulfillments='fulfillments') }}

select * from final
