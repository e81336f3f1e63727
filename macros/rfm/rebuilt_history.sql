{% macro rebuilt_transitions(built) -%}
    {{ return([
        'exists (select from ' ~ ref('int_windows_built_for_rfm') ~ ' as w where'
        ~ ' w.tenant_id = kept.tenant_id and w.is_recorded and kept.as_of >= w.as_of)',
        gone_tenants()
    ]) }}
{%- endmacro %}


{% macro rebuilt_days(built) -%}
    {{ return([
        'exists (select from ' ~ ref('int_windows_built_for_rfm') ~ ' as w where'
        ~ ' w.tenant_id = kept.tenant_id and w.is_recorded'
        ~ ' and kept.recorded_on >= (w.as_of at time zone w.time_zone)::date)',
        gone_tenants()
    ]) }}
{%- endmacro %}


{# Of those who were touched only the ones who are gone are looked up. #}
{% macro measured_customers(built) -%}
    {{ return([
        'exists (select from ' ~ ref('int_windows_built_for_rfm') ~ ' as w where'
        ~ ' w.tenant_id = kept.tenant_id and w.is_measured_anew)',
        'exists (select from ' ~ ref('int_customers_touched') ~ ' as t where'
        ~ ' t.tenant_id = kept.tenant_id and t.customer_id = kept.customer_id'
        ~ ' and not exists (select from ' ~ built ~ ' as b where'
        ~ ' b.tenant_id = t.tenant_id and b.customer_id = t.customer_id))',
        gone_tenants()
    ]) }}
{%- endmacro %}
