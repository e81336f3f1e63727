{% macro major_units(amount_minor, exponent) -%}
    round({{ amount_minor }} / 10::numeric ^ {{ exponent }}, {{ exponent }})
{%- endmacro %}
