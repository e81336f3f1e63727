{#
    The statement by which a plain `dbt build` waits for those of `quintile build` before it makes or
    replaces a relation, and has others wait for the end of its transaction; the latter hold the same
    lock themselves (service/builds/locks.py).
#}
{% macro wait_for_builds() -%}
    {%- if var('use_service_schemas') and not var('has_build_lock') -%}
        select pg_advisory_xact_lock(hashtextextended('quintile build', 0))
    {%- endif -%}
{%- endmacro %}


{# For pre-hooks: only where the table is made anew. #}
{% macro wait_for_builds_if_made() -%}
    {%- if execute and (load_relation(this) is none or should_full_refresh()) -%}
        {{ wait_for_builds() }}
    {%- endif -%}
{%- endmacro %}
