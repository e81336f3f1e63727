{{ config(enabled=var('source_layout') == 'airbyte') }}

with

tenants as (
    select
        tenant_id::uuid as tenant_id,
        source_schema
    from {{ overridable_seed('tenants_by_schema') }}
),

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

tags as (
    select
        c.source_schema,
        c.id as customer_id,
        array_agg(btrim(t.tag) order by t.position) as tags
    from landed_customers as c
    cross join lateral string_to_table(c.tags, ',') with ordinality as t (tag, position)
    where btrim(t.tag) <> ''
    group by c.source_schema, c.id
),

final as (
    select
        t.tenant_id,
        {{ id_or_digest('c.id', 'c') }} as customer_id,
        {{ clean_address('c.email') }} as email,
        {{ customer_display_name('c') }} as display_name,
        upper(c.email_marketing_consent ->> 'state') as marketing_state,
        coalesce(g.tags, '{}') as tags,
        c.created_at,
        c.updated_at as shopify_updated_at,
        c._airbyte_extracted_at as landed_at,
        null::timestamptz as deleted_at,
        coalesce(c.unreadable, {{ missing('c.id', 'id') }}) as rejection_reason
    from landed_customers as c
    inner join tenants as t on c.source_schema = t.source_schema
    left join tags as g on c.source_schema = g.source_schema and c.id = g.customer_id
)

select * from final
