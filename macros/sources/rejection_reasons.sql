{% macro missing(value, name) -%}
    case when {{ value }} is null then '{{ name }} is missing' end
{%- endmacro %}


{% macro missing_or_unreadable(value, name, kind) -%}
    coalesce('{{ name }} ''' || left({{ value }}, 40) || ''' is not a {{ kind }}', '{{ name }} is missing')
{%- endmacro %}


{% macro impossible_amount(row, amount, minor) -%}
    case
                when {{ row }}.{{ minor }} is null
                    then
                        '{{ amount }} ' || left({{ row }}.{{ amount }}::text, 40)
                        || ' is no possible amount'
            end
{%- endmacro %}


{# A row without an id is rejected; two of them must not look like one order twice. #}
{% macro id_or_digest(id, row) -%}
    coalesce({{ id }}, 'without an id: ' || md5({{ row }}::text))
{%- endmacro %}
