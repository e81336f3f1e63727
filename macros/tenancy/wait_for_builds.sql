{#
    Statement with which a plain `dbt build` waits for builds started by `quintile build` before it
    creates or replaces a relation. It also makes them wait until its transaction ends. Builds by
    `quintile build` take the same advisory lock (service/builds/locks.py).
#}
{% macro wait_for_builds() -%}
    {%- if var('use_service_schemas') and not var('has_build_lock') -%}
        select pg_advisory_xact_lock(hashtextextended('quintile build', 0))
    {%- endif -%}
{%- endmacro %}


{# For pre-hooks: only if the table is created or recreated. #}
{% macro wait_for_builds_on_create() -%}
    {%- if execute and (load_relation(this) is none or should_full_refresh()) -%}
        {{ wait_for_builds() }}
    {%- endif -%}
{%- endmacro %}
