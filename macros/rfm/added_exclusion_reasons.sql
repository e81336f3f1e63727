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
