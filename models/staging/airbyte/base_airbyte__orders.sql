{{ config(enabled=var('source_layout') == 'airbyte', materialized='ephemeral') }}

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

-- Airbyte keeps only the id and the time of a deleted order. It loads a null for a cell that it
-- cannot store, and lists it. Of the columns read here only the number, the note and the addresses
-- may be lost. Older versions list a sentence with the column's name.
final as (
    select
        o.*,
        {{ listed_tags('o.tags') }} as tag_list,
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
)

select * from final
