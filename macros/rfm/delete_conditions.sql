{% macro transitions_delete_conditions(incoming) -%}
    {{ return([
        'exists (select from ' ~ ref('int_windows_built_for_rfm').render() ~ ' as w where'
        ~ ' w.tenant_id = existing.tenant_id and w.is_recorded and existing.as_of >= w.as_of)',
        deleted_tenants()
    ]) }}
{%- endmacro %}


{% macro history_delete_conditions(incoming) -%}
    {{ return([
        'exists (select from ' ~ ref('int_windows_built_for_rfm').render() ~ ' as w where'
        ~ ' w.tenant_id = existing.tenant_id and w.is_recorded'
        ~ ' and existing.recorded_on >= (w.as_of at time zone w.time_zone)::date)',
        deleted_tenants()
    ]) }}
{%- endmacro %}


{# Changed customers are deleted only if the query no longer returns them. #}
{% macro customer_facts_delete_conditions(incoming) -%}
    {{ return([
        'exists (select from ' ~ ref('int_windows_built_for_rfm').render() ~ ' as w where'
        ~ ' w.tenant_id = existing.tenant_id and w.is_measured_anew)',
        'exists (select from ' ~ ref('int_customers_touched').render() ~ ' as t where'
        ~ ' t.tenant_id = existing.tenant_id and t.customer_id = existing.customer_id'
        ~ ' and not exists (select from ' ~ incoming ~ ' as b where'
        ~ ' b.tenant_id = t.tenant_id and b.customer_id = t.customer_id))',
        deleted_tenants()
    ]) }}
{%- endmacro %}
