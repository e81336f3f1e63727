{#
    A target whose schema is `marts` is production: the schemas are staging, intermediate and marts,
    which roles' rights and the service's SQL name. Every other target has schemas of its own:
    dbt_alice_staging, dbt_alice_intermediate and dbt_alice_marts.
#}
{% macro generate_schema_name(custom_schema_name, node) -%}
    {%- if project_name != 'quintile' -%}
        {%- set root_macro = context.get(project_name, {}).get('generate_schema_name') -%}
        {{ (root_macro or dbt.generate_schema_name)(custom_schema_name, node) }}
    {%- elif custom_schema_name and target.schema == 'marts' and node.package_name == 'quintile' -%}
        {{ custom_schema_name | trim }}
    {%- else -%}
        {{ dbt.generate_schema_name(custom_schema_name, node) }}
    {%- endif -%}
{%- endmacro %}
