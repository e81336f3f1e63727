{{ config(enabled=var('source_layout') == 'airbyte') }}

with

landed_customers as (
    {{- union_source_schemas('airbyte_shopify', 'customers', {
        'id': 'id',
        'first_name': 'text',
        'last_name': 'text',
        'email': 'text',
        'phone': 'text',
        'email_marketing_consent': 'jsonb',
        'tags': 'text',
        'created_at': 'time',
        'updated_at': 'time',
        '_airbyte_extracted_at': 'time',
    }, required=['id']) }}
),

source_customers as (
    select
        *,
        email_marketing_consent ->> 'state' as marketing_state,
        _airbyte_extracted_at as landed_at,
        unreadable as problem
    from landed_customers
),

customer_tags as (
    select
        c.source_schema,
        c.id as customer_id,
        t.ordinal,
        nullif(btrim(t.tag), '') as tag
    from landed_customers as c
    cross join lateral string_to_table(c.tags, ',') with ordinality as t (tag, ordinal)
),

{{ connector_customers() }}

select * from final
