{% macro union_source_schemas(source_name, table, columns, required, newer_names={}, is_optional=true) -%}
    {%- set first_schema = source(source_name, table) -%}
    {%- set found = landed_columns(table) -%}
    {%- set is_build = execute and flags.WHICH in ['build', 'run'] -%}
    {%- set schemas = [] -%}
    {%- set refused = [] -%}
    {%- for schema in source_schemas() -%}
        {%- if schema in found or (not found and not is_build) -%}
            {%- do schemas.append(schema) -%}
        {%- elif is_build and is_optional -%}
            {%- do log(schema ~ '.' ~ table ~ ' does not exist, so it counts as empty.', info=true) -%}
        {%- elif is_build -%}
            {%- do refused.append(absent_table(schema, table)) -%}
        {%- endif -%}
    {%- endfor -%}
    {%- for schema in schemas -%}
    {%- set landed = matched_columns(found.get(schema), columns, newer_names) -%}
    {%- if is_build -%}
        {%- do refused.append(
            unknown_table(schema ~ '.' ~ table, found[schema], landed, required)
        ) -%}
    {%- endif %}
    select
        {{ dbt.string_literal(dbt.escape_single_quotes(schema)) }} as source_schema,
        {%- for column in landed %}
        {{ landed_value(column.landed_name, column.landed_type, column.type) }} as {{ column.name }},
        {%- endfor %}
        {{ unreadable_cell(landed) }} as unreadable
    from {{ first_schema.incorporate(path={'schema': schema}) }}
    {%- if not loop.last %}

    union all
    {% endif %}
    {%- else %}
    select
        null::text as source_schema,
        {%- for column, type in columns.items() %}
        null::{{ postgres_type(type) }} as {{ column }},
        {%- endfor %}
        null::text as unreadable
    where false
    {%- endfor %}
    {%- for sentence in refused | select %}
    /* refused: {{ sentence }} */
    {%- endfor %}
{%- endmacro %}


{% macro source_schemas() -%}
    {%- set schemas = var('source_schemas') -%}
    {%- if execute and not schemas and model.config.materialized != 'ephemeral' -%}
        {%- do exceptions.raise_compiler_error(
            'The var source_schemas has to list the schemas that the connector writes to, one per '
            ~ 'tenant.'
        ) -%}
    {%- endif -%}
    {{ return([schemas] if schemas is string else schemas) }}
{%- endmacro %}
