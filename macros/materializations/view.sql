{#
    A view that is already as written is left alone, so that builds of different tenants can run at
    the same time and building one view does not drop those that read it. dbt's own materialization
    makes every view anew in every run. Views here depend on no var, so they rarely change.
#}
{% materialization view, adapter='postgres' %}
    {%- set existing = load_cached_relation(this) -%}
    {%- set target = this.incorporate(type='view') -%}

    {{ run_hooks(pre_hooks, inside_transaction=False) }}
    {{ run_hooks(pre_hooks, inside_transaction=True) }}

    {% if existing is not none and existing.is_view and view_is_as_written(existing, sql) %}
        {% call noop_statement('main', 'UNCHANGED') %}{{ sql }}{% endcall %}
    {% else %}
        {% set waiting = wait_for_builds() %}
        {% if waiting %}
            {% do run_query(waiting) %}
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


{# A statement, and not run_query, which opens no transaction for the materialization to commit. #}
{% macro view_is_as_written(view, sql) -%}
    {% call statement('view_is_as_written', fetch_result=True) %}
        create temporary view as_written as {{ sql }};
        select pg_get_viewdef('{{ view }}'::regclass)
        = pg_get_viewdef('pg_temp.as_written'::regclass)
    {% endcall %}
    {% do run_query('drop view pg_temp.as_written') %}
    {{ return(load_result('view_is_as_written').table.rows[0][0]) }}
{%- endmacro %}
