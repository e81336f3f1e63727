{{ config(enabled=var('source_layout') == 'fivetran') }}

with

landed_customers as (
    {{- union_source_schemas('fivetran_shopify', 'customer', {
        'id': 'id',
        'first_name': 'text',
        'last_name': 'text',
        'email': 'text',
        'phone': 'text',
        'email_marketing_consent_state': 'text',
        'created_at': 'time',
        'updated_at': 'time',
        '_fivetran_synced': 'time',
        '_fivetran_deleted': 'boolean',
    }, required=['id']) }}
),

landed_tags as (
    {{- union_source_schemas('fivetran_shopify', 'customer_tag', {
        'customer_id': 'id',
        'index': 'number',
        'value': 'text',
    }, required=['customer_id', 'value']) }}
),

source_customers as (
    select
        *,
        email_marketing_consent_state as marketing_state,
        _fivetran_synced as landed_at,
        unreadable as problem
    from landed_customers
    where _fivetran_deleted is not true
),

customer_tags as (
    select
        source_schema,
        customer_id,
        index as ordinal,
        value as tag
    from landed_tags
),

{{ connector_customers() }}

select * from final
