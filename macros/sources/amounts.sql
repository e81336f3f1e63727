{% macro order_amounts() -%}
    {{ return(['total', 'subtotal', 'current_total', 'current_subtotal']) }}
{%- endmacro %}


{# Amounts are below 10^15 minor units, so that no sum or difference of a few of them overflows. #}
{% macro minor_units(amount, exponent) -%}
    case
            when abs(({{ amount }}) * 10::numeric ^ {{ exponent }}) < 1e15
                then round(({{ amount }}) * 10::numeric ^ {{ exponent }})::bigint
        end
{%- endmacro %}


{% macro line_total_minor(price, quantity, discount, allocated, exponent) -%}
    {{ minor_units(
            'greatest(' ~ price ~ ' * ' ~ quantity ~ ' - greatest(coalesce(' ~ discount ~ ', 0),'
            ~ ' coalesce(' ~ allocated ~ ', 0)), 0)',
            exponent
        ) }}
{%- endmacro %}
