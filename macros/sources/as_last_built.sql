{#
    What the last build left of a model that comes later in this one; none if there is nothing. ref()
    would make a circle. A unit test has no last build.
#}
{% macro as_last_built(model_name) -%}
    {%- if execute and model.resource_type != 'unit_test' -%}
        {%- set node = graph.nodes['model.quintile.' ~ model_name] -%}
        {{ return(adapter.get_relation(node.database, node.schema, node.alias)) }}
    {%- endif -%}
    {{ return(none) }}
{%- endmacro %}
