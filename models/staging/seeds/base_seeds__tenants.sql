{{ config(enabled=is_tenants_seed_read()) }}

with

source as (
    select * from {{ overridable_seed('tenants_by_schema') }}
),

cells as (
    select
        {{ uuid_or_null('tenant_id::text') }} as tenant_id,
        nullif(btrim(name::text), '') as name,
        nullif(btrim(source_schema::text), '') as source_schema,
        shop_domain::text as shop_domain,
        upper(btrim(currency::text)) as currency,
        {{ time_zone_or_null('time_zone::text') }} as time_zone
    from source
),

counted as (
    select
        *,
        count(*) over (partition by tenant_id) as tenant_rows,
        count(*) over (partition by source_schema) as schema_rows
    from cells
),

-- Left out, because it is unknown which row is right: a tenant of several rows, and the tenants of
-- one schema, whose rows would be shown to all of them. cells_can_be_read tells of both.
final as (
    select
        tenant_id,
        coalesce(name, tenant_id::text) as name,
        source_schema,
        shop_domain,
        currency,
        time_zone,
        null::timestamptz as created_at
    from counted
    where
        tenant_id is not null
        and tenant_rows = 1
        {%- if var('source_layout') != 'native' %}
        and (schema_rows = 1 or source_schema is null)
        {%- endif %}
)

select * from final
