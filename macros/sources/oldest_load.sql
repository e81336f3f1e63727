{#
    For a source's loaded_at_query: when the connector last loaded a row of the table, in the schema
    where that is longest ago. A schema without rows, or without the table, does not count: the
    store may have none.
#}
{% macro oldest_load(table, loaded_at_field) -%}
    {%- set found = landed_columns(table.identifier) -%}
    select min(loaded_at) as loaded_at
    from (
        select null as loaded_at
        {%- for schema in source_schemas() if loaded_at_field in found.get(schema, {}) %}

        union all

        select max({{ loaded_at_field }}) as loaded_at
        from {{ table.incorporate(path={'schema': schema}) }}
        {%- endfor %}
    ) as latest
{%- endmacro %}
