{% macro tag_key(tag) -%}
    lower(btrim(normalize({{ tag }}, nfc), e' \t\r\n'))
{%- endmacro %}
