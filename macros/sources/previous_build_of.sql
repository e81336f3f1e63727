{#
    Relation that the previous build left for a model that comes later in this build, or none. ref()
    would create a cycle. A unit test has no previous build, nor has a model that the installing
    project disabled.
#}
{% macro previous_build_of(model_name) -%}
    {%- if execute and model.resource_type != 'unit_test' -%}
        {{ return(built_relation('model.quintile.' ~ model_name)) }}
    {%- endif -%}
    {{ return(none) }}
{%- endmacro %}
