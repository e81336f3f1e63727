{% macro email_domain(address) -%}
    lower(split_part(btrim({{ address }}), '@', -1))
{%- endmacro %}
