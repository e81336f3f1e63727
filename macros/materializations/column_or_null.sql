{% macro column_or_null(column, data_type, relation=this) -%}
    {%- set present = adapter.get_columns_in_relation(relation) | map(attribute='name') | list -%}
    {{ return(column if column in present else 'null::' ~ data_type) }}
{%- endmacro %}
