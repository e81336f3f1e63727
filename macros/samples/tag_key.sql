{% macro tag_key(tag) -%}
    lower(btrim({{ tag }}, e' \t\r\n'))
{%- endmacro %}
