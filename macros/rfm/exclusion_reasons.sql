{#
    Why an order may not count, the most telling reason first. No condition is ever null, and an
    order counts when none of them holds. They speak of an order o in a window w and of its sample
    match s; who ordered and when comes after what was ordered.
#}
{% macro reasons_about_the_order() -%}
    {{ return({
        'test': "o.is_test",
        'cancelled': "(o.cancelled_at is not null)",
        'voided': "coalesce(upper(o.financial_status) = 'VOIDED', false)",
        'sample': "(s.order_id is not null and not w.is_sample_counted)",
        'refunded_in_full': "(o.total_minor > 0 and o.total_minor <= o.refunded_minor)",
        'zero_value': "(o.total_minor <= 0 or (o.total_minor > o.refunded_minor"
            " and o.total_minor - o.refunded_minor < w.minimum_minor))",
        'foreign_currency': "(o.currency is distinct from w.currency)",
    }) }}
{%- endmacro %}


{% macro reasons_about_who_and_when() -%}
    {{ return({
        'no_customer': "(o.customer_id is null)",
        'excluded_customer': "coalesce(c.is_excluded_from_rfm, false)",
        'outside_window': "(o.ordered_at < w.window_starts_at or o.ordered_at >= w.as_of)",
    }) }}
{%- endmacro %}


{% macro none_of(reasons) -%}
    not {{ reasons.values() | join(' and not ') }}
{%- endmacro %}


{# Changes with the rule by which orders count, so that a release with another one counts anew. #}
{% macro rfm_rule() -%}
    {{ return(local_md5(none_of(reasons_about_the_order()))) }}
{%- endmacro %}
