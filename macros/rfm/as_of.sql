{% macro utc_datetime(value) -%}
    {%- set parsed = modules.datetime.datetime.fromisoformat(value | string | trim) -%}
    {%- if parsed.tzinfo is none -%}
        {%- set parsed = modules.pytz.utc.localize(parsed) -%}
    {%- endif -%}
    {{ return(parsed.astimezone(modules.pytz.utc)) }}
{%- endmacro %}


{% macro utc_timestamp(value) -%}
    '{{ utc_datetime(value).isoformat(' ') }}'::timestamptz
{%- endmacro %}


{% macro as_of_datetime() -%}
    {{ return(utc_datetime(var('as_of') or run_started_at.isoformat())) }}
{%- endmacro %}


{% macro as_of() -%}
    {{ utc_timestamp(var('as_of') or run_started_at.isoformat()) }}
{%- endmacro %}


{# A value without a time is a date, which starts at midnight in the tenant's time zone. #}
{% macro backfill_timestamps(time_zone) -%}
    {%- set timestamps = [] -%}
    {%- for value in var('backfill') -%}
        {%- if value | string | trim | length == 10 -%}
            {%- set day = modules.datetime.date.fromisoformat(value | string | trim) -%}
            {%- do timestamps.append(
                "'" ~ day.isoformat() ~ "'::timestamp at time zone " ~ time_zone
            ) -%}
        {%- else -%}
            {%- do timestamps.append(utc_timestamp(value)) -%}
        {%- endif -%}
    {%- endfor -%}
    {{ return(timestamps) }}
{%- endmacro %}
