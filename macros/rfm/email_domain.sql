{% macro email_domain(address) -%}
    lower(split_part(btrim({{ address }}), '@', -1))
{%- endmacro %}


{% macro base_domain(domain) -%}
    (split_part({{ domain }}, '.', -2) || '.' || split_part({{ domain }}, '.', -1))
{%- endmacro %}


{% macro domain_pattern(domain) -%}
    replace(regexp_replace({{ domain }}, '([\\%_])', '\\\1', 'g'), '*', '%')
{%- endmacro %}
