{#
    Statement with which a plain `dbt build` waits for builds started by `quintile build` before it
    creates or replaces a relation. It also makes them wait until its transaction ends. Builds by
    `quintile build` take the same advisory lock (service/builds/locks.py). Another target has
    schemas of its own, and so a lock of its own.
#}
{% macro wait_for_builds() -%}
    {%- if var('use_service_schemas') and not var('has_build_lock') -%}
        {%- set name = 'quintile build' ~ (' in ' ~ target.schema if target.schema != 'marts') -%}
        select pg_advisory_xact_lock(
            hashtextextended({{ dbt.string_literal(dbt.escape_single_quotes(name)) }}, 0)
        )
    {%- endif -%}
{%- endmacro %}


{# For pre-hooks: only if the table is created or recreated. #}
{% macro wait_for_builds_on_create() -%}
    {%- if execute and (load_relation(this) is none or should_full_refresh()) -%}
        {{ wait_for_builds() }}
    {%- endif -%}
{%- endmacro %}
