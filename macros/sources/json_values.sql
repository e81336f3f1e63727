{% macro json_objects(value, path) -%}
    jsonb_path_query({{ value }}, '{{ path }} ? (@.type() == "object")')
{%- endmacro %}


{% macro json_number(value, key) -%}
    case
            when jsonb_typeof({{ value }} -> '{{ key }}') = 'number'
                then ({{ value }} -> '{{ key }}')::numeric
        end
{%- endmacro %}


{#
    An amount of money in a JSON document of both currencies, whatever type it is loaded as. Text
    that is no JSON has none.
#}
{% macro amount_in_money_set(value, currency_of) -%}
    substring(
            {{ value }}
            from '"{{ currency_of }}_money"\s*:\s*\{[^{}]*"amount"\s*:\s*"?([0-9]{1,20}(\.[0-9]{1,20})?)'
        )::numeric
{%- endmacro %}
