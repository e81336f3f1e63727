{#
    Adds what a model's meta says of how full a new table's pages are made (`fillfactor`, in percent).
    A row that is updated on its own page leaves every index alone.
#}
{% macro postgres__get_table_columns_and_constraints() -%}
    {{ dbt.default__get_table_columns_and_constraints() }}
    {%- set fillfactor = config.get('meta', {}).get('fillfactor') -%}
    {%- if fillfactor %}
    with (fillfactor = {{ fillfactor }})
    {%- endif -%}
{%- endmacro %}
