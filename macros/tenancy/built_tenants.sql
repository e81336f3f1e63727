{% macro built_tenant_names() -%}
    {%- set names = [] -%}
    {%- for name in var('tenants') -%}
        {%- do names.append(dbt.string_literal(dbt.escape_single_quotes(name | string))) -%}
    {%- endfor -%}
    {{ return(names | join(', ')) }}
{%- endmacro %}


{% macro built_tenant_ids() -%}
    select tenant_id from {{ source('app', 'tenants') }} where name in ({{ built_tenant_names() }})
{%- endmacro %}


{% macro check_tenants_exist() -%}
    {%- if execute and var('tenants') -%}
        {%- set found = run_query(
            'select name from ' ~ source('app', 'tenants')
            ~ ' where name in (' ~ built_tenant_names() ~ ')'
        ).columns[0].values() | list -%}
        {%- set unknown = var('tenants') | map('string') | reject('in', found) | list -%}
        {%- if unknown -%}
            {%- do exceptions.raise_compiler_error(
                'No tenant is called ' ~ unknown | join(' or ')
                ~ '. `quintile tenants list` shows the names.'
            ) -%}
        {%- endif -%}
    {%- endif -%}
{%- endmacro %}
