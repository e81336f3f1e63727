{#
    Data tests of models read only the tenants of this build. Builds of other tenants may be half
    done, and reading their rows takes time.
#}
{% macro postgres__get_where_subquery(relation) -%}
    {%- if not quintile.is_own_node() -%}
        {{ return(dbt.default__get_where_subquery(relation)) }}
    {%- endif -%}
    {%- set test_where = config.get('where', '') -%}
    {%- set is_of_model = execute and (model.attached_node or '').startswith('model.') -%}
    {%- if not (is_of_model and var('tenants')) -%}
        {{ return(dbt.default__get_where_subquery(relation)) }}
    {%- endif -%}
    {%- set filtered -%}
        (
            select * from {{ relation }}
            where {{ tenant_filter() }} {{ 'and (' ~ test_where ~ ')' if test_where }}
        ) as tenant_filter
    {%- endset -%}
    {{ return(filtered) }}
{%- endmacro %}
