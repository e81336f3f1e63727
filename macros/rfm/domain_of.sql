{% macro domain_of(address) -%}
    lower(split_part(btrim({{ address }}), '@', -1))
{%- endmacro %}
