{% macro instant(given) -%}
    {%- set instant = modules.datetime.datetime.fromisoformat(given | string | trim) -%}
    {%- if instant.tzinfo is none -%}
        {%- set instant = modules.pytz.utc.localize(instant) -%}
    {%- endif -%}
    '{{ instant.astimezone(modules.pytz.utc).isoformat(' ') }}'::timestamptz
{%- endmacro %}


{% macro as_of() -%}
    {{ instant(var('as_of') or run_started_at.isoformat()) }}
{%- endmacro %}


{% macro built_instants() -%}
    {%- set instants = [] -%}
    {%- for given in var('backfill') -%}
        {%- do instants.append(instant(given)) -%}
    {%- endfor -%}
    {%- do instants.append(as_of()) -%}
    {{ return(instants) }}
{%- endmacro %}
