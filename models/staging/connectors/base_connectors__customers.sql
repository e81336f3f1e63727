{{ config(enabled=var('source_layout') != 'native') }}

with

tenants as (
    select * from {{ ref('base_seeds__tenants') }}
),

source_customers as (
    select * from {{ ref('base_' ~ var('source_layout') ~ '__customers') }}
),

final as (
    select
        t.tenant_id,
        {{ id_or_digest('c.id', 'c') }} as customer_id,
        {{ clean_address('c.email') }} as email,
        {{ customer_display_name('c.first_name', 'c.last_name', 'c.email', 'c.phone') }}
            as display_name,
        upper(c.marketing_state) as marketing_state,
        coalesce(c.tag_list, '{}') as tags,
        c.created_at,
        c.updated_at as shopify_updated_at,
        c.landed_at,
        null::timestamptz as deleted_at,
        coalesce(c.problem, {{ missing('c.id', 'id') }}) as rejection_reason
    from source_customers as c
    inner join tenants as t on c.source_schema = t.source_schema
)

select * from final
