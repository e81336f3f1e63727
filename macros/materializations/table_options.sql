{#
    Adds the storage parameter `fillfactor` (percent) from the model's meta to a new table. Free
    space on a page lets PostgreSQL update a row there without touching its indexes.
#}
{% macro postgres__get_table_columns_and_constraints() -%}
    {{ dbt.default__get_table_columns_and_constraints() }}
    {%- set fillfactor = quintile.is_own_node() and config.get('meta', {}).get('fillfactor') -%}
    {%- if fillfactor %}
    with (fillfactor = {{ fillfactor }})
    {%- endif -%}
{%- endmacro %}
