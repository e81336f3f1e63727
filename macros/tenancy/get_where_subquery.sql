{#
    Data tests of models read the tenants that the build is for and no others, whose builds may be
    half done and whose rows would only cost time.
#}
{% macro postgres__get_where_subquery(relation) -%}
    {%- set given = config.get('where', '') -%}
    {%- set is_of_model = execute and (model.attached_node or '').startswith('model.') -%}
    {%- if not (is_of_model and var('tenants')) -%}
        {{ return(dbt.default__get_where_subquery(relation)) }}
    {%- endif -%}
    {%- set filtered -%}
        (
            select * from {{ relation }}
            where {{ of_built_tenants() }} {{ 'and (' ~ given ~ ')' if given }}
        ) as of_built_tenants
    {%- endset -%}
    {{ return(filtered) }}
{%- endmacro %}
