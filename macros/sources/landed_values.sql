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


{% macro postgres_type(type) -%}
    {{ return({'id': 'text', 'number': 'numeric', 'time': 'timestamptz'}.get(type, type)) }}
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
