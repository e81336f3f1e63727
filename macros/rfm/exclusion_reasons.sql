{#
    Exclusion reasons in order of priority: the first that applies is the primary reason. No
    condition is ever null, and an order counts if none applies. Aliases: o is the order, w the
    tenant's window, s the order's sample match, c its customer. Reasons about the order itself come
    before reasons about its customer and date.
#}
{% macro order_exclusion_reasons() -%}
    {{ return(dict(own_exclusion_reasons(), **added_exclusion_reasons())) }}
{%- endmacro %}


{% macro own_exclusion_reasons() -%}
    {{ return({
        'test': "o.is_test",
        'cancelled': "(o.cancelled_at is not null)",
        'voided': "coalesce(upper(o.financial_status) in ('VOIDED', 'EXPIRED'), false)",
        'sample': "(s.order_id is not null and not w.is_sample_counted)",
        'refunded_in_full': "(o.total_minor > 0 and o.net_minor <= 0)",
        'zero_value': "(o.total_minor <= 0 or (o.net_minor > 0 and o.net_minor < w.minimum_minor))",
        'foreign_currency': "(o.currency is distinct from w.currency)",
    }) }}
{%- endmacro %}


{% macro customer_and_window_exclusion_reasons() -%}
    {{ return({
        'no_customer': "(o.customer_id is null)",
        'excluded_customer': "coalesce(c.is_excluded_from_rfm, false)",
        'outside_window': "(o.ordered_at < w.window_starts_at or o.ordered_at >= w.as_of)",
    }) }}
{%- endmacro %}


{% macro none_of(reasons) -%}
    not {{ reasons.values() | join(' and not ') }}
{%- endmacro %}


{% macro is_sale() -%}
    (o.ordered_at < w.as_of and {{ none_of(order_exclusion_reasons()) }})
{%- endmacro %}


{#
    A release with another rule has another hash, so that its first build recalculates everything.
    So has one with another column that all customers must have: the text after the rule.
#}
{% macro rfm_rule_hash() -%}
    {{ return(local_md5(none_of(order_exclusion_reasons()) ~ ' is_in_shopify')) }}
{%- endmacro %}
