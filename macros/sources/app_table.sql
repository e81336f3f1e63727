{% macro app_table(name) -%}
    {{ return(source('app', name) if var('use_service_schemas') else ref('base_seeds__' ~ name)) }}
{%- endmacro %}
