{#
    Address, phone number and name of a customer's orders, alias o: of each, the last that there is.
#}
{% macro contact_of_orders() -%}
    {%- for column in ['customer_email', 'customer_phone', 'customer_name'] -%}
        (
            array_agg(o.{{ column }} order by o.ordered_at desc, o.order_id desc)
            filter (where o.{{ column }} is not null)
        )[1] as {{ column }}{{ ', ' if not loop.last }}
    {%- endfor -%}
{%- endmacro %}
