{# Everything besides orders that the rows of rfm_survival depend on. #}
{% macro survival_settings_key(windows) -%}
    md5(row(
        {{ windows }}.settings_key,
        {{ var('survival_order_counts') }},
        {{ var('survival_minimum_orders') }},
        {{ var('churn_horizon_days') }}
    )::text)
{%- endmacro %}


{#
    Whether rows of rfm_survival still hold for a build. Rows of a later as-of time do not: they know
    orders that the build must not see.
#}
{% macro is_survival_current(existing, windows) -%}
    {{ existing }}.settings_key = {{ survival_settings_key(windows) }}
    and {{ existing }}.calculated_at <= {{ windows }}.as_of
    and {{ existing }}.calculated_at
    > {{ windows }}.as_of - interval '{{ var("survival_refresh_days") | int }} days'
{%- endmacro %}


{# Current rows stay, although the query does not return them. #}
{% macro survival_delete_conditions(incoming) -%}
    {{ return([
        'exists (select from ' ~ ref('int_windows_built_for_rfm').render() ~ ' as w where'
        ~ ' w.tenant_id = existing.tenant_id and w.instants_back = 0 and not ('
        ~ is_survival_current('existing', 'w') ~ '))',
        deleted_tenants()
    ]) }}
{%- endmacro %}


{#
    The value where `known` is not null. Else that of the highest number of orders for which it is
    known after the same wait, and else after the longest wait.
#}
{% macro known_figure(column, known=none) -%}
    {%- set known = known or column -%}
    {%- set same_wait = 'over (partition by k.tenant_id, k.waited_days order by k.' ~ known
        ~ ' is null, k.order_count desc)' -%}
    case
            when first_value(k.{{ known }}) {{ same_wait }} is null
                then first_value(k.{{ column }}) over (
                    partition by k.tenant_id
                    order by k.{{ known }} is null, k.waited_days desc, k.order_count desc
                )
            when k.{{ known }} is null then first_value(k.{{ column }}) {{ same_wait }}
            else k.{{ column }}
        end
{%- endmacro %}
