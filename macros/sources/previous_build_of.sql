{#
    Relation that the previous build left for a model that comes later in this build, or none. ref()
    would create a cycle. A unit test has no previous build.
#}
{% macro previous_build_of(model_name) -%}
    {%- if execute and model.resource_type != 'unit_test' -%}
        {%- set node = graph.nodes['model.quintile.' ~ model_name] -%}
        {{ return(adapter.get_relation(node.database, node.schema, node.alias)) }}
    {%- endif -%}
    {{ return(none) }}
{%- endmacro %}
