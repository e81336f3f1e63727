with

tenants as (
    select * from {{ ref('stg_app__tenants') }}
),

final as (
    select
        tenant_id,
        tenant_name,
        currency
    from tenants
    {%- if var('tenants') %}
    where tenant_name in ({{ built_tenant_names() }})
    {%- endif %}
)

select * from final
