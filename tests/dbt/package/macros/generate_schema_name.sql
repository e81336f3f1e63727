{# The naming rule of this project, which its packages follow. #}
{% macro generate_schema_name(custom_schema_name, node) -%}
    {{ [target.schema, custom_schema_name] | select | join('__') }}
{%- endmacro %}
