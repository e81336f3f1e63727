{% macro postgres_type(type) -%}
    {{ return({'id': 'text', 'number': 'numeric', 'time': 'timestamptz'}.get(type, type)) }}
{%- endmacro %}


{% macro number_or_null(value) -%}
    case
            when
                length({{ value }}) < 100
                and {{ value }} ~ '^\s*[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,3})?\s*$'
                then ({{ value }})::numeric
        end
{%- endmacro %}


{#
    PostgreSQL 15 cannot ask whether a cast would succeed. The pattern accepts ISO 8601 from 1900
    on; the day is compared with the length of the month.
#}
{% macro time_or_null(value) -%}
    case
            when
                {{ value }} ~ '^\s*(19|[2-8][0-9])[0-9]{2}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])([T ]([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9](\.[0-9]+)?)?\s*(Z|UTC|[+-](0[0-9]|1[0-4])(:?[0-5][0-9])?)?)?\s*$'
                then
                    case
                        when
                            substr(btrim({{ value }}), 9, 2)::int
                            <= extract(
                                day from (left(btrim({{ value }}), 7) || '-01')::date
                                + interval '1 month - 1 day'
                            )
                            then
                                (
                                    btrim({{ value }})
                                    || case
                                        when {{ value }} ~ '[T ].*(Z|UTC|[+-][0-9:]+)\s*$' then ''
                                        else ' UTC'
                                    end
                                )::timestamptz
                    end
        end
{%- endmacro %}


{% macro plausible_time(value) -%}
    case when {{ value }} >= '1900-01-01' and {{ value }} < '9000-01-01' then {{ value }} end
{%- endmacro %}


{#
    A landed cell as type, or null if it cannot be read. Types: text, id, number, time, boolean,
    jsonb. Columns that the connector has typed are cast; text is parsed.
#}
{% macro landed_value(column, landed_type, type) -%}
    {%- set value = adapter.quote(column) -%}
    {%- set as_text = value ~ '::text' -%}
    {%- if not landed_type -%}
        null::{{ postgres_type(type) }}
    {%- elif type == 'jsonb' and landed_type == 'json' -%}
        {#- jsonb cannot hold a NUL character. -#}
        replace({{ as_text }}, '\u0000', '')::jsonb
    {%- elif type in ['text', 'jsonb'] -%}
        {{ value }}::{{ type }}
    {%- elif type == 'id' -%}
        {%- if landed_type in ['numeric', 'real', 'double precision'] -%}
        trim_scale({{ value }}::numeric)::text
        {%- else -%}
        nullif(btrim({{ as_text }}), '')
        {%- endif -%}
    {%- elif type == 'boolean' and landed_type != 'boolean' -%}
        case
            when lower(btrim({{ as_text }})) in ('true', 't', 'yes', '1') then true
            when lower(btrim({{ as_text }})) in ('false', 'f', 'no', '0') then false
        end
    {%- elif type == 'number' and is_cast_safe(landed_type, type) -%}
        {{ value }}::numeric
    {%- elif type == 'number' -%}
        {{ number_or_null(as_text) }}
    {%- elif type == 'time' and landed_type == 'timestamp with time zone' -%}
        {{ plausible_time(value) }}
    {%- elif type == 'time' and is_cast_safe(landed_type, type) -%}
        {{ plausible_time('(' ~ value ~ "::timestamp at time zone 'UTC')") }}
    {%- elif type == 'time' -%}
        {{ time_or_null(as_text) }}
    {%- else -%}
        {{ value }}
    {%- endif -%}
{%- endmacro %}


{% macro is_cast_safe(landed_type, type) -%}
    {{ return(
        landed_type in {
            'number': [
                'smallint', 'integer', 'bigint', 'numeric', 'real', 'double precision', 'number'
            ],
            'time': ['timestamp with time zone', 'timestamp without time zone', 'date', 'time'],
            'boolean': ['boolean'],
        }.get(type, [landed_type])
    ) }}
{%- endmacro %}


{# The first cell that is there and cannot be read, in words; null if there is none. #}
{% macro unreadable_cell(columns) -%}
    {%- set cells = [] -%}
    {%- for column in columns if column.landed_type -%}
        {%- if column.type == 'time' or not is_cast_safe(column.landed_type, column.type) -%}
            {%- do cells.append(column) -%}
        {%- endif -%}
    {%- endfor -%}
    {%- if not cells -%}
        null::text
    {%- else -%}
        case
            {%- for cell in cells %}
            when
                nullif(btrim({{ adapter.quote(cell.landed_name) }}::text), '') is not null
                and ({{ landed_value(cell.landed_name, cell.landed_type, cell.type) }}) is null
                then
                    '{{ cell.landed_name }} ''' || left({{ adapter.quote(cell.landed_name) }}::text, 40)
                    || ''' is not a {{
                        {'number': 'number', 'time': 'time', 'boolean': 'yes or no'}[cell.type]
                    }}'
            {%- endfor %}
        end
    {%- endif -%}
{%- endmacro %}


{# Amounts are below 10^15 minor units, so that no sum or difference of a few of them overflows. #}
{% macro minor_units(amount, exponent) -%}
    case
            when abs(({{ amount }}) * 10::numeric ^ {{ exponent }}) < 1e15
                then round(({{ amount }}) * 10::numeric ^ {{ exponent }})::bigint
        end
{%- endmacro %}


{% macro impossible_amount(row, amount, minor) -%}
    case
                when {{ row }}.{{ minor }} is null
                    then
                        '{{ amount }} ' || left({{ row }}.{{ amount }}::text, 40)
                        || ' is no possible amount'
            end
{%- endmacro %}


{% macro missing(value, name) -%}
    case when {{ value }} is null then '{{ name }} is missing' end
{%- endmacro %}


{% macro missing_or_unreadable(value, name, kind) -%}
    coalesce('{{ name }} ''' || left({{ value }}, 40) || ''' is not a {{ kind }}', '{{ name }} is missing')
{%- endmacro %}


{#
    An amount of money in a JSON document of both currencies, whatever type it is loaded as. Text
    that is no JSON has none.
#}
{% macro amount_in_money_set(value, currency_of) -%}
    substring(
            {{ value }}
            from '"{{ currency_of }}_money"\s*:\s*\{[^{}]*"amount"\s*:\s*"?([0-9]{1,20}(\.[0-9]{1,20})?)'
        )::numeric
{%- endmacro %}


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


{% macro graphql_fulfillment_status(status) -%}
    case lower({{ status }})
            when 'partial' then 'PARTIALLY_FULFILLED'
            else upper(coalesce(nullif({{ status }}, ''), 'unfulfilled'))
        end
{%- endmacro %}


{% macro json_objects(value, path) -%}
    jsonb_path_query({{ value }}, '{{ path }} ? (@.type() == "object")')
{%- endmacro %}


{% macro json_number(value, key) -%}
    case
            when jsonb_typeof({{ value }} -> '{{ key }}') = 'number'
                then ({{ value }} -> '{{ key }}')::numeric
        end
{%- endmacro %}


{% macro line_total_minor(price, quantity, discount, allocated, exponent) -%}
    {{ minor_units(
            'greatest(' ~ price ~ ' * ' ~ quantity ~ ' - greatest(coalesce(' ~ discount ~ ', 0),'
            ~ ' coalesce(' ~ allocated ~ ', 0)), 0)',
            exponent
        ) }}
{%- endmacro %}


{# A row without an id is rejected; two of them must not look like one order twice. #}
{% macro id_or_digest(id, row) -%}
    coalesce({{ id }}, 'without an id: ' || md5({{ row }}::text))
{%- endmacro %}
