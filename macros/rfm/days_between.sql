{% macro days_between(earlier, later, time_zone) -%}
    extract(
        day from ({{ later }} at time zone {{ time_zone }})
        - ({{ earlier }} at time zone {{ time_zone }})
    )::int
{%- endmacro %}
