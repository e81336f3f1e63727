{% macro generate_schema_name(custom_schema_name, node) -%}
    {%- if project_name == 'quintile' -%}
        {{ (custom_schema_name or target.schema) | trim }}
    {%- else -%}
        {%- set root_macro = context.get(project_name, {}).get('generate_schema_name') -%}
        {{ (root_macro or dbt.generate_schema_name)(custom_schema_name, node) }}
    {%- endif -%}
{%- endmacro %}
