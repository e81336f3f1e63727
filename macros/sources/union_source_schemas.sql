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


{% macro union_source_schemas(source_name, table, columns, required, newer_names={}, is_optional=true) -%}
    {%- set first_schema = source(source_name, table) -%}
    {%- set found = landed_columns(table) -%}
    {%- set is_build = execute and flags.WHICH in ['build', 'run'] -%}
    {%- set schemas = [] -%}
    {%- for schema in source_schemas() -%}
        {%- if schema in found or (not found and not is_build) -%}
            {%- do schemas.append(schema) -%}
        {%- elif is_build and is_optional -%}
            {%- do log(schema ~ '.' ~ table ~ ' does not exist, so it counts as empty.', info=true) -%}
        {%- elif is_build -%}
            {%- do refuse_absent_table(schema, table) -%}
        {%- endif -%}
    {%- endfor -%}
    {%- for schema in schemas -%}
    {%- set landed = matched_columns(found.get(schema), columns, newer_names) -%}
    {%- if is_build -%}
        {%- do refuse_unknown_table(schema ~ '.' ~ table, found[schema], landed, required) -%}
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
{%- endmacro %}


{% macro landed_columns(table) -%}
    {%- set found = {} -%}
    {%- if execute -%}
        {%- set schemas = [] -%}
        {%- for schema in source_schemas() -%}
            {%- do schemas.append(dbt.string_literal(dbt.escape_single_quotes(schema))) -%}
        {%- endfor -%}
        {%- for row in run_query(
            'select n.nspname::text, a.attname::text, format_type(a.atttypid, null)'
            ~ ' from pg_namespace as n inner join pg_class as c on n.oid = c.relnamespace'
            ~ ' inner join pg_attribute as a on c.oid = a.attrelid'
            ~ " where c.relname = '" ~ table ~ "' and n.nspname in (" ~ schemas | join(', ')
            ~ ") and c.relkind in ('r', 'p', 'v', 'm', 'f') and a.attnum > 0"
            ~ ' and not a.attisdropped'
        ).rows -%}
            {%- do found.setdefault(row[0], {}).update({row[1]: row[2]}) -%}
        {%- endfor -%}
    {%- endif -%}
    {{ return(found) }}
{%- endmacro %}


{% macro matched_columns(types, columns, newer_names) -%}
    {%- set matched = [] -%}
    {%- for name, type in columns.items() -%}
        {%- set newer_name = newer_names.get(name) -%}
        {%- set landed_name = newer_name if newer_name in (types or {}) else name -%}
        {%- do matched.append({
            'name': name,
            'type': type,
            'landed_name': landed_name,
            'landed_type': type if types is none else types.get(landed_name),
        }) -%}
    {%- endfor -%}
    {{ return(matched) }}
{%- endmacro %}


{% macro refuse_absent_table(schema, table) -%}
    {%- set name = dbt.string_literal(dbt.escape_single_quotes(schema)) -%}
    {%- if not run_query('select from pg_namespace where nspname = ' ~ name).rows -%}
        {%- do exceptions.raise_compiler_error(
            'The var source_schemas lists ' ~ schema ~ ', and there is no such schema.'
        ) -%}
    {%- endif -%}
    {%- do exceptions.raise_compiler_error(
        schema ~ '.' ~ table ~ ' does not exist: the connector creates it with the first row, so'
        ~ ' list the schema in the var source_schemas once it has orders.'
    ) -%}
{%- endmacro %}


{% macro refuse_unknown_table(table, types, landed, required) -%}
    {%- set present = landed | selectattr('landed_type') | map(attribute='name') | list -%}
    {%- set missing = [] -%}
    {%- for alternatives in required
        if not alternatives.split('|') | select('in', present) | list -%}
        {%- do missing.append(alternatives.replace('|', ' and ')) -%}
    {%- endfor -%}
    {%- if missing -%}
        {%- if '_airbyte_data' in types -%}
            {%- set advice = "these are Airbyte's raw tables, and Quintile reads the typed tables of"
                ~ ' destination-postgres 2 or newer' -%}
        {%- else -%}
            {%- set advice = 'have the connector load it' -%}
        {%- endif -%}
        {%- do exceptions.raise_compiler_error(
            table ~ ' lacks ' ~ missing | join(', ') ~ ': ' ~ advice ~ '.'
        ) -%}
    {%- endif -%}
    {%- for column in landed
        if column.type == 'jsonb' and column.landed_type not in [none, 'json', 'jsonb'] -%}
        {%- do exceptions.raise_compiler_error(
            table ~ '.' ~ column.name ~ ' is ' ~ column.landed_type ~ ', not jsonb: Quintile reads'
            ~ ' the typed tables of destination-postgres 2 or newer.'
        ) -%}
    {%- endfor -%}
{%- endmacro %}


{#
    For pre-hooks of models over a connector's tables. Their columns are text or JSON that is parsed
    here, so PostgreSQL has no statistics for join keys and conditions, and takes thousands of rows
    for one: a nested loop would then read a table once per order. Hash and merge joins are linear
    whatever it estimates. Compiling would be, too, only for the price that a forbidden join has.
#}
{% macro forbid_nested_loops() -%}
    set local enable_nestloop = off; set local jit = off
{%- endmacro %}
