{% macro as_of() -%}
    {%- set given = var('as_of') | string | trim -%}
    {%- set instant = modules.datetime.datetime.fromisoformat(given) if given else run_started_at -%}
    {%- if instant.tzinfo is none -%}
        {%- set instant = modules.pytz.utc.localize(instant) -%}
    {%- endif -%}
    '{{ instant.astimezone(modules.pytz.utc).isoformat(' ') }}'::timestamptz
{%- endmacro %}
