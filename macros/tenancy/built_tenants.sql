{% macro built_tenant_names() -%}
    {%- set names = [] -%}
    {%- for name in var('tenants') -%}
        {%- do names.append(dbt.string_literal(dbt.escape_single_quotes(name | string))) -%}
    {%- endfor -%}
    {{ return(names | join(', ')) }}
{%- endmacro %}


{% macro built_tenant_ids() -%}
    select tenant_id from {{ tenants_relation() }} where name in ({{ built_tenant_names() }})
{%- endmacro %}


{#
    The tenants, for what runs beside the models. ref() is no help there: dbt refuses it where the
    model that runs does not name the same relation itself.
#}
{% macro tenants_relation() -%}
    {%- if var('use_service_schemas') -%}
        {{ source('app', 'tenants') }}
    {%- elif execute -%}
        {{ graph.nodes['model.quintile.base_seeds__tenants'].relation_name }}
    {%- endif -%}
{%- endmacro %}


{% macro check_tenants_exist() -%}
    {%- if execute and var('tenants') and (var('use_service_schemas') or tenants_are_built()) -%}
        {%- set found = run_query(
            'select name from ' ~ tenants_relation()
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


{# Before the first build there is no relation to ask, and nothing of a tenant to lose. #}
{% macro tenants_are_built() -%}
    {%- set node = graph.nodes['model.quintile.base_seeds__tenants'] -%}
    {{ return(adapter.get_relation(node.database, node.schema, node.alias) is not none) }}
{%- endmacro %}
