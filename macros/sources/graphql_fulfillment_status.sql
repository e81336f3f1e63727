{% macro graphql_fulfillment_status(status) -%}
    case lower({{ status }})
            when 'partial' then 'PARTIALLY_FULFILLED'
            else upper(coalesce(nullif({{ status }}, ''), 'unfulfilled'))
        end
{%- endmacro %}
