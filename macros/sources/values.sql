{% macro minor_units(amount, exponent) -%}
    round(({{ amount }})::numeric * 10::numeric ^ {{ exponent }})::bigint
{%- endmacro %}


{% macro customer_display_name(person) -%}
    coalesce(
            nullif(btrim(concat_ws(' ', {{ person }}.first_name, {{ person }}.last_name)), ''),
            nullif({{ person }}.email, ''),
            nullif({{ person }}.phone, '')
        )
{%- endmacro %}


{% macro graphql_fulfillment_status(status) -%}
    case lower({{ status }})
            when 'partial' then 'PARTIALLY_FULFILLED'
            else upper(coalesce(nullif({{ status }}, ''), 'unfulfilled'))
        end
{%- endmacro %}


{% macro json_objects(value, path) -%}
    jsonb_path_query({{ value }}, '{{ path }} ? (@.type() == "object")')
{%- endmacro %}
