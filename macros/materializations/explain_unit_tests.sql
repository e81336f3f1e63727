{#
    On-run-end hook. Without `dispatch` in the installing project, dbt's own look-up of columns gives
    arrays the type ARRAY, a syntax error in the fixtures of unit tests.
#}
{% macro explain_unit_tests() -%}
    {%- if execute -%}
        {%- set lookup = adapter.dispatch('get_columns_in_relation', 'dbt').macro -%}
        {%- set failed = results
            | selectattr('node.resource_type', 'equalto', 'unit_test')
            | selectattr('node.package_name', 'equalto', 'quintile')
            | rejectattr('status', 'in', ['pass', 'success', 'skipped'])
            | list -%}
        {%- if failed and lookup.package_name in ['dbt', 'dbt_postgres'] -%}
            {%- do log(
                "Quintile's unit tests need its override of a macro of dbt: add quintile to dispatch "
                ~ 'in dbt_project.yml, as docs/package.md shows, or run dbt with '
                ~ '--exclude-resource-type unit_test.',
                info=true
            ) -%}
        {%- endif -%}
    {%- endif -%}
{%- endmacro %}
