{% macro are_orders_indexed() -%}
    {{ return(
        var('source_layout') == 'native'
        and var('use_service_schemas')
        and var('shopify_schema') == 'shopify'
    ) }}
{%- endmacro %}
