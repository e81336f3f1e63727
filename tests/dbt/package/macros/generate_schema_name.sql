{# Naming rule of this project, which also applies to its packages. #}
{% macro generate_schema_name(custom_schema_name, node) -%}
    {{ [target.schema, custom_schema_name] | select | join('__') }}
{%- endmacro %}
