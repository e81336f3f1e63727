{#
    Leaves an unchanged view alone, so that builds of different tenants can run at the same time and
    building a view does not drop the views that read it. dbt's own materialization recreates every
    view in every run. The views of this project depend on no var that changes between builds.
#}
{% materialization view, adapter='postgres' %}
    {%- if not quintile.is_own_node() -%}
        {{ return(dbt.materialization_view_default()) }}
    {%- endif -%}

    {%- set existing = load_cached_relation(this) -%}
    {%- set target = this.incorporate(type='view') -%}

    {{ run_hooks(pre_hooks, inside_transaction=False) }}
    {{ run_hooks(pre_hooks, inside_transaction=True) }}

    {% if existing is not none and existing.is_view and is_view_unchanged(existing, sql) %}
        {% call noop_statement('main', 'UNCHANGED') %}{{ sql }}{% endcall %}
    {% else %}
        {% set wait_statement = wait_for_builds() %}
        {% if wait_statement %}
            {% do run_query(wait_statement) %}
        {% endif %}
        {% if existing is not none %}
            {% do adapter.drop_relation(existing) %}
        {% endif %}
        {% call statement('main') %}
            {{ get_create_view_as_sql(target, sql) }}
        {% endcall %}
    {% endif %}

    {% do apply_grants(target, config.get('grants'), should_revoke=should_revoke(existing)) %}
    {% do persist_docs(target, model) %}

    {{ run_hooks(post_hooks, inside_transaction=True) }}
    {% do adapter.commit() %}
    {{ run_hooks(post_hooks, inside_transaction=False) }}

    {{ return({'relations': [target]}) }}
{% endmaterialization %}


{# Uses a statement because run_query opens no transaction for the materialization to commit. #}
{% macro is_view_unchanged(view, sql) -%}
    {% call statement('is_view_unchanged', fetch_result=True) %}
        create temporary view model_view as {{ sql }};
        select pg_get_viewdef('{{ view }}'::regclass)
        = pg_get_viewdef('pg_temp.model_view'::regclass)
    {% endcall %}
    {% do run_query('drop view pg_temp.model_view') %}
    {{ return(load_result('is_view_unchanged').table.rows[0][0]) }}
{%- endmacro %}
