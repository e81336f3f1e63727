{% macro overridable_seed(name) -%}
    {{ return(ref(project_name if name in var('own_seeds') else 'quintile', name)) }}
{%- endmacro %}
