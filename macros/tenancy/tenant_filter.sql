{# Unit tests have tenants of their own, so the filter does not apply to them. #}
{% macro tenant_filter(column='tenant_id') -%}
    {%- if var('tenants') and model.resource_type != 'unit_test' -%}
        {{ column }} in ({{ built_tenant_id_literals() }})
    {%- else -%}
        true
    {%- endif -%}
{%- endmacro %}


{% macro built_tenant_id_literals() -%}
    {%- set ids = [] -%}
    {%- if execute and (var('use_service_schemas') or is_tenants_relation_built()) -%}
        {%- for id in run_query(built_tenant_ids()).columns[0].values() -%}
            {%- do ids.append("'" ~ id ~ "'") -%}
        {%- endfor -%}
    {%- endif -%}
    {{ return(ids | join(', ') or 'null') }}
{%- endmacro %}
