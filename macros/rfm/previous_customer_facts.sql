{# Columns of customer_facts that do not depend on other customers. #}
{% macro customer_figures() -%}
    {{ return([
        'tenant_id', 'customer_id', 'email', 'phone', 'display_name', 'marketing_state',
        'is_in_shopify', 'is_excluded_from_rfm', 'lifetime_order_count', 'lifetime_minor',
        'first_order_at', 'last_order_at', 'window_order_count', 'window_minor', 'sample_order_ids'
    ]) }}
{%- endmacro %}


{#
    Query of what the previous build wrote to customer_facts, for tenants that this build does not
    fully recalculate; no rows in a first build. A macro, because PostgreSQL would keep the rows of
    a model that is read twice. An older release's table may lack the columns added since. The
    windows are rendered, because in an empty build a ref() has an alias already.
#}
{% macro previous_customer_facts() -%}
    {%- set facts = previous_build_of('customer_facts') -%}
    {%- set windows = ref('int_windows_built_for_rfm') -%}
    {%- set added = {'phone': 'text', 'is_in_shopify': 'boolean'} -%}
    {%- if facts -%}
    select
        {%- for column in customer_figures() %}
        {%- if column in added %}
        {{ column_or_null(column, added[column], facts) }} as {{ column }},
        {%- else %}
        {{ column }},
        {%- endif %}
        {%- endfor %}
        r_score,
        f_score,
        m_score
    from {{ facts }}
    where
        {{ tenant_filter() }}
        and tenant_id not in (
            select w.tenant_id from {{ windows.render() }} as w
            where w.instants_back = 0 and w.is_measured_anew
        )
    {%- else -%}
    select
        {{ customer_figures() | join(',\n        ') }},
        null::smallint as r_score,
        null::smallint as f_score,
        null::smallint as m_score
    from {{ ref('int_customers_recalculated') }}
    where false
    {%- endif -%}
{%- endmacro %}
