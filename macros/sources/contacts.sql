{% macro customer_display_name(first_name, last_name, email, phone) -%}
    coalesce(
            nullif(btrim(concat_ws(' ', {{ first_name }}, {{ last_name }})), ''),
            nullif({{ email }}, ''),
            nullif({{ phone }}, '')
        )
{%- endmacro %}


{#
    The digits of a phone number, with its plus sign; null for what is no number, or typed in place
    of one, such as 0000000000. Shopify stores numbers in E.164.
#}
{% macro phone_number(value) -%}
    case
                when
                    regexp_replace({{ value }}, '\D', '', 'g') ~ '^\d{7,15}$'
                    and regexp_replace({{ value }}, '\D', '', 'g') !~ '^(\d)\1*$'
                    then regexp_replace({{ value }}, '[^+0-9]', '', 'g')
            end
{%- endmacro %}


{# As app.customer_id_of_phone of the service, whose schema a project may not have. #}
{% macro customer_id_of_phone(phone) -%}
    'phone:' || left(
                encode(sha256(convert_to(ltrim({{ phone }}, '+'), 'UTF8')), 'hex'), 32
            )
{%- endmacro %}
