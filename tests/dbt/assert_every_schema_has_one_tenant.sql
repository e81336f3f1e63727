-- Every schema in the var source_schemas belongs to a tenant. Rows of one without a tenant, or with
-- several, are left out.
{{ config(enabled=var('source_layout') != 'native', severity='warn') }}

with

listed as (
    select unnest(array[
        {%- for schema in source_schemas() %}
        {{ dbt.string_literal(dbt.escape_single_quotes(schema)) }}{{ ',' if not loop.last }}
        {%- endfor %}
    ]::text[]) as source_schema
),

tenants_by_schema as (
    select * from {{ ref('base_seeds__tenants') }}
),

tenants as (
    select * from {{ app_table('tenants') }}
),

owned as (
    select s.source_schema
    from tenants_by_schema as s
    inner join tenants as t on s.tenant_id = t.tenant_id
)

select l.source_schema
from listed as l
left join owned as o on l.source_schema = o.source_schema
where o.source_schema is null {{ 'and false' if flags.EMPTY }}
