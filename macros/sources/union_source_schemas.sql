{% macro source_schemas() -%}
    {%- set schemas = var('source_schemas') -%}
    {%- if execute and not schemas -%}
        {%- do exceptions.raise_compiler_error(
            'The var source_schemas has to list the schemas that the connector writes to, one per '
            ~ 'tenant.'
        ) -%}
    {%- endif -%}
    {{ return([schemas] if schemas is string else schemas) }}
{%- endmacro %}


{% macro union_source_schemas(source_name, table, columns) -%}
    {%- set first_schema = source(source_name, table) -%}
    {%- set schemas = [] -%}
    {%- for schema in source_schemas() if schema ~ '.' ~ table not in var('absent_tables') -%}
        {%- do schemas.append(schema) -%}
    {%- endfor -%}
    {%- for schema in schemas %}
    select
        {{ dbt.string_literal(dbt.escape_single_quotes(schema)) }} as source_schema,
        {%- for column, type in columns.items() %}
        {{ adapter.quote(column) }}::{{ type }} as {{ column }}{{ ',' if not loop.last }}
        {%- endfor %}
    from {{ first_schema.incorporate(path={'schema': schema}) }}
    {%- if not loop.last %}

    union all
    {% endif %}
    {%- else %}
    select
        null::text as source_schema,
        {%- for column, type in columns.items() %}
        null::{{ type }} as {{ column }}{{ ',' if not loop.last }}
        {%- endfor %}
    where false
    {%- endfor %}
{%- endmacro %}
