-- Every schema in the var source_schemas belongs to exactly one tenant. Rows of a schema without a
-- tenant would be dropped silently, and rows of a schema with two tenants would be shown to both.
{{ config(enabled=var('source_layout') != 'native') }}

with

listed as (
    select unnest(array[
        {%- for schema in source_schemas() %}
        {{ dbt.string_literal(dbt.escape_single_quotes(schema)) }}{{ ',' if not loop.last }}
        {%- endfor %}
    ]::text[]) as source_schema
),

tenants_by_schema as (
    select * from {{ overridable_seed('tenants_by_schema') }}
),

tenants as (
    select * from {{ ref('stg_app__tenants') }}
),

owned as (
    select
        s.source_schema,
        t.tenant_id
    from tenants_by_schema as s
    inner join tenants as t on s.tenant_id::uuid = t.tenant_id
)

select
    l.source_schema,
    count(o.tenant_id) as tenant_count
from listed as l
left join owned as o on l.source_schema = o.source_schema
group by l.source_schema
having count(o.tenant_id) <> 1
