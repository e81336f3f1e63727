{#
    For a source's loaded_at_query: when the connector last loaded a row of the table, in the schema
    where that is longest ago. A schema without rows does not count: the store may have no orders.
#}
{% macro oldest_load(table, loaded_at_field) -%}
    select min(loaded_at) as loaded_at
    from (
        {%- for schema in source_schemas() %}
        select max({{ loaded_at_field }}) as loaded_at
        from {{ table.incorporate(path={'schema': schema}) }}
        {%- if not loop.last %}

        union all
        {%- endif %}
        {%- endfor %}
    ) as latest
{%- endmacro %}
