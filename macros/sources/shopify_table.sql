{% macro shopify_table(name) -%}
    {%- set layout = var('source_layout') -%}
    {%- if layout == 'native' -%}
        {{ return(source('shopify', name)) }}
    {%- elif layout not in ['fivetran', 'airbyte'] -%}
        {%- do exceptions.raise_compiler_error(
            "The var source_layout is '" ~ layout ~ "'. It can be native, fivetran or airbyte."
        ) -%}
    {%- endif -%}
    {{ return(ref('base_connectors__' ~ name)) }}
{%- endmacro %}
