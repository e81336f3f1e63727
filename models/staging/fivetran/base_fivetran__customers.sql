{{ config(enabled=var('source_layout') == 'fivetran', materialized='ephemeral') }}

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

tags as (
    select
        source_schema,
        customer_id,
        array_agg(value order by index) as tag_list
    from landed_tags
    where value is not null
    group by source_schema, customer_id
),

final as (
    select
        c.*,
        c.email_marketing_consent_state as marketing_state,
        g.tag_list,
        c._fivetran_synced as landed_at,
        c.unreadable as problem
    from landed_customers as c
    left join tags as g on c.source_schema = g.source_schema and c.id = g.customer_id
    where c._fivetran_deleted is not true
)

select * from final
