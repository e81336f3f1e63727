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


{# A date of a backfill is a day, which begins when it does by the clock of a tenant. #}
{% macro backfilled_instants(time_zone) -%}
    {%- set instants = [] -%}
    {%- for given in var('backfill') -%}
        {%- if given | string | trim | length == 10 -%}
            {%- set day = modules.datetime.date.fromisoformat(given | string | trim) -%}
            {%- do instants.append(
                "'" ~ day.isoformat() ~ "'::timestamp at time zone " ~ time_zone
            ) -%}
        {%- else -%}
            {%- do instants.append(instant(given)) -%}
        {%- endif -%}
    {%- endfor -%}
    {{ return(instants) }}
{%- endmacro %}
