{% macro as_of() -%}
    {%- set given = var('as_of') | string | trim -%}
    {%- set instant = run_started_at -%}
    {%- if given -%}
        {%- set instant = modules.datetime.datetime.fromisoformat(given) -%}
    {%- endif -%}
    {%- if instant.tzinfo is none -%}
        {%- set instant = modules.pytz.utc.localize(instant) -%}
    {%- endif -%}
    '{{ instant.astimezone(modules.pytz.utc).isoformat(' ') }}'::timestamptz
{%- endmacro %}
