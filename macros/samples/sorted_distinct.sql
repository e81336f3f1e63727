{% macro sorted_distinct(expression) -%}
    coalesce(
            array_agg(distinct {{ expression }} collate "C" order by {{ expression }} collate "C")
            filter (where {{ expression }} is not null),
            '{}'
        )
{%- endmacro %}
