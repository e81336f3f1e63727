{% macro overridable_seed(name) -%}
    {{ return(ref(seed_package(name), name)) }}
{%- endmacro %}


{% macro seed_package(name) -%}
    {{ return(project_name if name in var('own_seeds') else 'quintile') }}
{%- endmacro %}
