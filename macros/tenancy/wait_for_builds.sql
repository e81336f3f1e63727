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


{#
    For pre-hooks, after `wait_for_builds_on_create`: an erasure holds the lock of builds while it waits
    for this one. A plain `dbt build` holds it from before a table's rows are read until they are
    committed. Erasures wait for that (service/builds/locks.py), or would find nothing to delete before
    an erased person's rows are written. Views have no rows.
#}
{% macro lock_out_erasures() -%}
    {%- if
        execute
        and var('use_service_schemas')
        and not var('has_build_lock')
        and model.config.materialized != 'view'
    -%}
        select pg_advisory_xact_lock_shared(hashtextextended('quintile plain build', 0))
    {%- endif -%}
{%- endmacro %}
