{{ config(enabled=var('source_layout') == 'airbyte', materialized='ephemeral') }}

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

final as (
    select
        *,
        {{ listed_tags('tags') }} as tag_list,
        email_marketing_consent ->> 'state' as marketing_state,
        _airbyte_extracted_at as landed_at,
        unreadable as problem
    from landed_customers
)

select * from final
