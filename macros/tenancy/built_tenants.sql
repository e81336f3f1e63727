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
    Relation of the tenants, for hooks and tests. They cannot use ref(): dbt rejects it unless the
    running model refers to the same relation itself.
#}
{% macro tenants_relation() -%}
    {%- if var('use_service_schemas') -%}
        {{ source('app', 'tenants').render() }}
    {%- elif execute -%}
        {{ graph.nodes['model.quintile.base_seeds__tenants'].relation_name }}
    {%- endif -%}
{%- endmacro %}


{% macro check_tenants_exist() -%}
    {%- if
        execute
        and var('tenants')
        and selected_own_nodes()
        and (var('use_service_schemas') or is_tenants_relation_built())
    -%}
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


{# Before the first build the relation does not exist, and no tenant has rows yet. #}
{% macro is_tenants_relation_built() -%}
    {{ return(built_relation('model.quintile.base_seeds__tenants') is not none) }}
{%- endmacro %}
