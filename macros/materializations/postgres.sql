{#
    The adapter's own look-up, except that an array column is reported by its type (text[]) and not
    as ARRAY, which is no type that a cast accepts. Unit-test fixtures and added columns need it.
#}
{% macro postgres__get_columns_in_relation(relation) -%}
    {% call statement('get_columns_in_relation', fetch_result=True) %}
        select
            column_name,
            case
                when data_type = 'ARRAY' then substring(udt_name from 2) || '[]'
                else data_type
            end as data_type,
            character_maximum_length,
            numeric_precision,
            numeric_scale
        from {{ relation.information_schema('columns') }}
        where
            table_name = '{{ relation.identifier }}'
            {%- if relation.schema %}
            and table_schema = '{{ relation.schema }}'
            {%- endif %}
        order by ordinal_position
    {% endcall %}
    {{ return(sql_convert_columns_in_relation(load_result('get_columns_in_relation').table)) }}
{%- endmacro %}


{#
    The adapter truncates a seed before it fills it again, which makes readers wait and shows older
    snapshots an empty table. Deleting does neither. The lock lets only one build do so at a time.
#}
{% macro postgres__reset_csv_table(model, full_refresh, old_relation, agate_table) %}
    {% if full_refresh %}
        {{ return(default__reset_csv_table(model, full_refresh, old_relation, agate_table)) }}
    {% endif %}
    {% set sql %}
        lock table {{ old_relation }} in share row exclusive mode;
        delete from {{ old_relation }};
    {% endset %}
    {% do run_query(sql) %}
    {{ return(sql) }}
{% endmacro %}


{#
    The types that contracts are checked by, as PostgreSQL names them. dbt asks its driver, which
    does not know uuid and warns, and which calls every array of text-like things the same.
#}
{% macro get_column_schema_from_query(select_sql, select_sql_header=none) -%}
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
