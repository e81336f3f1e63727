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


{#
    Reasons of the var exclusion_reasons. Builds recalculate a customer only after a change of the
    orders, so a condition may depend on nothing but the order. Unit tests check our own rule.
#}
{% macro added_exclusion_reasons() -%}
    {%- set added = {} -%}
    {%- if model.resource_type != 'unit_test' -%}
        {%- set given = var('exclusion_reasons') or {} -%}
        {%- if given is not mapping -%}
            {%- do exceptions.raise_compiler_error(
                'The var exclusion_reasons maps names to SQL conditions, for example'
                ~ ' {wholesale: "o.channel = \'Wholesale\'"}.'
            ) -%}
        {%- endif -%}
        {%- for name, condition in given.items() -%}
            {%- do check_exclusion_reason(name, condition) -%}
            {%- do added.update({name: 'coalesce((' ~ condition | trim ~ '), false)'}) -%}
        {%- endfor -%}
    {%- endif -%}
    {{ return(added) }}
{%- endmacro %}


{% macro check_exclusion_reason(name, condition) -%}
    {%- set taken = dict(
        own_exclusion_reasons(), **customer_and_window_exclusion_reasons()
    ).keys() | list + ['unreadable'] -%}
    {%- set words = modules.re.sub("'[^']*'", "''", condition | string | lower) -%}
    {%- if not modules.re.fullmatch('[a-z][a-z0-9_]{0,62}', name | string) -%}
        {%- set problem = 'its name has to be lower-case letters, digits and _, and start with a'
            ~ ' letter' -%}
    {%- elif name in taken -%}
        {%- set problem = 'Quintile has a reason of this name' -%}
    {%- elif condition is not string or not condition | trim -%}
        {%- set problem = 'it has no SQL condition' -%}
    {%- elif ';' in words or '--' in words or '/*' in words -%}
        {%- set problem = 'its condition has a semicolon or a comment' -%}
    {%- elif not modules.re.search('\\bo\\.', words) or modules.re.search('\\b[wsc]\\.', words) -%}
        {%- set problem = 'its condition has to use columns of the order, such as o.channel, and'
            ~ ' no others' -%}
    {%- elif modules.re.search(
        '\\b(select|now|random|(clock|statement|transaction)_timestamp|(current|local)_?(date|time'
        ~ '|timestamp))\\b', words
    ) or modules.re.search('\\bage\\s*\\(([^,()]|\\([^()]*\\))*\\)', words)
    or modules.re.search("'\\s*(now|today|tomorrow|yesterday)\\s*'", condition | lower) -%}
        {%- set problem = 'its condition depends on more than the order: it has a subquery, the'
            ~ ' current time or a random number' -%}
    {%- endif -%}
    {%- if problem is defined -%}
        {%- do exceptions.raise_compiler_error(
            "The var exclusion_reasons has the reason '" ~ name ~ "', but " ~ problem ~ '.'
        ) -%}
    {%- endif -%}
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
