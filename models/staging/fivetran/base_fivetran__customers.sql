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
        'id': 'bigint',
        'first_name': 'text',
        'last_name': 'text',
        'email': 'text',
        'phone': 'text',
        'email_marketing_consent_state': 'text',
        'created_at': 'timestamptz',
        'updated_at': 'timestamptz',
        '_fivetran_synced': 'timestamptz',
        '_fivetran_deleted': 'boolean',
    }) }}
),

landed_tags as (
    {{- union_source_schemas('fivetran_shopify', 'customer_tag', {
        'customer_id': 'bigint',
        'index': 'int',
        'value': 'text',
    }) }}
),

tags as (
    select
        source_schema,
        customer_id,
        array_agg(value order by index) as tags
    from landed_tags
    group by source_schema, customer_id
),

final as (
    select
        t.tenant_id,
        c.id::text as customer_id,
        nullif(c.email, '') as email,
        {{ customer_display_name('c') }} as display_name,
        upper(c.email_marketing_consent_state) as marketing_state,
        coalesce(g.tags, '{}') as tags,
        c.created_at,
        c.updated_at as shopify_updated_at,
        c._fivetran_synced as landed_at,
        null::timestamptz as deleted_at
    from landed_customers as c
    inner join tenants as t on c.source_schema = t.source_schema
    left join tags as g on c.source_schema = g.source_schema and c.id = g.customer_id
    where c._fivetran_deleted is not true
)

select * from final
