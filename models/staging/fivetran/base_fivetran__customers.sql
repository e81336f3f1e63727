{{ config(enabled=var('source_layout') == 'fivetran') }}

with

tenants as (
    select
        tenant_id::uuid as tenant_id,
        source_schema
    from {{ overridable_seed('tenants_by_schema') }}
),

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
        array_agg(value order by index) as tags
    from landed_tags
    where value is not null
    group by source_schema, customer_id
),

final as (
    select
        t.tenant_id,
        {{ id_or_digest('c.id', 'c') }} as customer_id,
        {{ clean_address('c.email') }} as email,
        {{ customer_display_name('c') }} as display_name,
        upper(c.email_marketing_consent_state) as marketing_state,
        coalesce(g.tags, '{}') as tags,
        c.created_at,
        c.updated_at as shopify_updated_at,
        c._fivetran_synced as landed_at,
        null::timestamptz as deleted_at,
        coalesce(c.unreadable, {{ missing('c.id', 'id') }}) as rejection_reason
    from landed_customers as c
    inner join tenants as t on c.source_schema = t.source_schema
    left join tags as g on c.source_schema = g.source_schema and c.id = g.customer_id
    where c._fivetran_deleted is not true
)

select * from final
