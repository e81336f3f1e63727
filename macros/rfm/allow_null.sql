{# Upgrades a table of a release in which the column was never null; runs once. #}
{% macro allow_null(column) -%}
    {%- if execute and load_relation(this) is not none and run_query(
        "select from pg_attribute where attrelid = '" ~ this ~ "'::regclass and attname = '"
        ~ column ~ "' and attnotnull"
    ).rows | length -%}
        alter table {{ this }} alter column {{ column }} drop not null
    {%- endif -%}
{%- endmacro %}
