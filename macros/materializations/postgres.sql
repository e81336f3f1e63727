{#
    These macros replace macros of dbt for the models, seeds and tests of this project. For those of
    other packages and projects they call dbt's own. Columns are the exception: dbt looks them up
    without saying for which node.
#}


{#
    The adapter's lookups, read from pg_catalog. The views of information_schema take ten times as
    long. The lookups run several times per model and dominate the build of a small tenant. Arrays
    have types such as text[] instead of ARRAY, because unit test fixtures and added columns need a
    type that a cast accepts.
#}
{% macro postgres__get_columns_in_relation(relation) -%}
    {% call statement('get_columns_in_relation', fetch_result=True) %}
        select
            attname as column_name,
            format_type(atttypid, null) as data_type,
            case
                when atttypid in ('bpchar'::regtype, 'varchar'::regtype) and atttypmod > 4
                    then atttypmod - 4
            end as character_maximum_length,
            case
                when atttypid = 'numeric'::regtype and atttypmod > 4
                    then ((atttypmod - 4) >> 16) & 65535
            end as numeric_precision,
            case
                when atttypid = 'numeric'::regtype and atttypmod > 4
                    then (((atttypmod - 4) & 2047) # 1024) - 1024
            end as numeric_scale
        from pg_attribute
        where attrelid = to_regclass('{{ relation }}') and attnum > 0 and not attisdropped
        order by attnum
    {% endcall %}
    {{ return(sql_convert_columns_in_relation(load_result('get_columns_in_relation').table)) }}
{%- endmacro %}


{%- macro postgres__get_show_grant_sql(relation) -%}
    {%- if not quintile.is_own_node() -%}
        {{ return(dbt.postgres__get_show_grant_sql(relation)) }}
    {%- endif -%}
    select
        coalesce(r.rolname, 'public') as grantee,
        g.privilege_type
    from pg_class as c
    cross join aclexplode(c.relacl) as g
    left join pg_roles as r on g.grantee = r.oid
    where
        c.oid = to_regclass('{{ relation }}')
        and g.grantor = current_role::regrole
        and g.grantee <> current_role::regrole
{%- endmacro -%}


{#
    The adapter rewrites all comments in every build, which locks and bloats the catalog. This macro
    writes only those that differ.
#}
{% macro postgres__persist_docs(relation, model, for_relation, for_columns) -%}
    {%- if not quintile.is_own_node() -%}
        {{ return(dbt.default__persist_docs(relation, model, for_relation, for_columns)) }}
    {%- endif -%}
    {%- if var('are_relations_unchanged') -%}
        {{ return('') }}
    {%- endif -%}
    {%- set current_comments = {} -%}
    {%- for row in run_query(
        "select coalesce(a.attname, ''), d.description from pg_description as d"
        ~ ' left join pg_attribute as a on a.attrelid = d.objoid and a.attnum = d.objsubid'
        ~ " and d.objsubid > 0 where d.classoid = 'pg_class'::regclass"
        ~ " and d.objoid = to_regclass('" ~ relation ~ "')"
    ).rows -%}
        {%- do current_comments.update({row[0]: row[1]}) -%}
    {%- endfor -%}
    {%- set outdated_columns = [] -%}
    {%- for column in model.columns.values()
        if current_comments.get(column.name, '') != column.description -%}
        {%- do outdated_columns.append(column.name) -%}
    {%- endfor -%}
    {% do dbt.default__persist_docs(
        relation,
        model,
        for_relation and current_comments.get('', '') != model.description,
        for_columns and outdated_columns | length > 0,
    ) %}
{%- endmacro %}


{#
    The adapter truncates a seed before it refills it. TRUNCATE makes readers wait and shows an
    empty table to older snapshots; DELETE does neither. The lock admits one build at a time.
#}
{% macro postgres__reset_csv_table(model, full_refresh, old_relation, agate_table) %}
    {% if full_refresh or not quintile.is_own_node() %}
        {{ return(dbt.default__reset_csv_table(model, full_refresh, old_relation, agate_table)) }}
    {% endif %}
    {% set sql %}
        lock table {{ old_relation }} in share row exclusive mode;
        delete from {{ old_relation }};
    {% endset %}
    {#- run_query would open no transaction, and without rows to insert nothing else does. -#}
    {% call statement('reset_csv_table') %}{{ sql }}{% endcall %}
    {{ return(sql) }}
{% endmacro %}


{#
    Column types for contract checks, as PostgreSQL names them. dbt asks its driver, which warns
    about uuid because it does not know it, and which does not tell apart arrays of text types.
#}
{% macro get_column_schema_from_query(select_sql, select_sql_header=none) -%}
    {%- if not quintile.is_own_node() -%}
        {{ return(dbt.get_column_schema_from_query(select_sql, select_sql_header)) }}
    {%- endif -%}
    {% set found = run_query(
        'create temporary view contract_columns as ' ~ select_sql ~ ';'
        ~ ' select attname, format_type(atttypid, atttypmod) from pg_attribute'
        ~ " where attrelid = 'pg_temp.contract_columns'::regclass order by attnum"
    ) %}
    {% do run_query('drop view pg_temp.contract_columns') %}
    {% set columns = [] %}
    {% for row in found.rows %}
        {% do columns.append(api.Column.create(row[0], row[1])) %}
    {% endfor %}
    {{ return(columns) }}
{%- endmacro %}


{#
    A contract and a table's columns depend on the project's files and on columns in the catalog.
    A build that finds both unchanged need not compare them again.
#}
{% macro postgres__get_assert_columns_equivalent(sql) -%}
    {%- if not (quintile.is_own_node() and var('are_relations_unchanged')) -%}
        {{ return(dbt.default__get_assert_columns_equivalent(sql)) }}
    {%- endif -%}
{%- endmacro %}


{% macro postgres__process_schema_changes(on_schema_change, source_relation, target_relation) -%}
    {%- if not (quintile.is_own_node() and var('are_relations_unchanged')) -%}
        {{ return(dbt.default__process_schema_changes(
            on_schema_change, source_relation, target_relation
        )) }}
    {%- endif -%}
    {%- set columns = [] -%}
    {%- for column in model.columns.values() -%}
        {%- do columns.append(api.Column.create(column.name, column.data_type)) -%}
    {%- endfor -%}
    {{ return(columns) }}
{%- endmacro %}
