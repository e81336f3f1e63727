{# The tenants of a unit test are not those that the build is for. #}
{% macro of_built_tenants(column='tenant_id') -%}
    {%- if var('tenants') and model.resource_type != 'unit_test' -%}
        {{ column }} in ({{ literal_tenant_ids() }})
    {%- else -%}
        true
    {%- endif -%}
{%- endmacro %}


{% macro literal_tenant_ids() -%}
    {%- set ids = [] -%}
    {%- if execute and (var('use_service_schemas') or tenants_are_built()) -%}
        {%- for id in run_query(built_tenant_ids()).columns[0].values() -%}
            {%- do ids.append("'" ~ id ~ "'") -%}
        {%- endfor -%}
    {%- endif -%}
    {{ return(ids | join(', ') or 'null') }}
{%- endmacro %}
