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


{% macro union_source_schemas(source_name, table, columns, required, is_optional=false) -%}
    {%- set first_schema = source(source_name, table) -%}
    {%- set found = landed_columns(table) -%}
    {%- set schemas = [] -%}
    {%- for schema in source_schemas()
        if schema ~ '.' ~ table not in var('absent_tables')
        and (schema in found or not is_optional) -%}
        {%- do schemas.append(schema) -%}
    {%- endfor -%}
    {%- for schema in schemas -%}
    {%- set types = found.get(schema) or columns -%}
    {%- if flags.WHICH in ['build', 'run'] -%}
        {%- do refuse_unknown_table(schema, table, found.get(schema), columns, required) -%}
    {%- endif %}
    select
        {{ dbt.string_literal(dbt.escape_single_quotes(schema)) }} as source_schema,
        {%- for column, type in columns.items() %}
        {{ landed_value(column, types.get(column), type) }} as {{ column }},
        {%- endfor %}
        {{ unreadable_cell(types, columns) }} as unreadable
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


{% macro refuse_unknown_table(schema, table, types, columns, required) -%}
    {%- set name = schema ~ '.' ~ table -%}
    {%- if types is none -%}
        {%- do exceptions.raise_compiler_error(
            name ~ ' does not exist: if the connector has not created it yet because it has no rows'
            ~ ' for it, list it in the var absent_tables.'
        ) -%}
    {%- endif -%}
    {%- set missing = [] -%}
    {%- for alternatives in required
        if not alternatives.split('|') | select('in', types) | list -%}
        {%- do missing.append(alternatives.replace('|', ' and ')) -%}
    {%- endfor -%}
    {%- if missing -%}
        {%- if 'display_financial_status' in types or 'total_price_set_shop_amount' in types
            or 'original_total_set_shop_amount' in types
            or 'allocated_amount_set_shop_amount' in types
            or 'amount_set_shop_amount' in types -%}
            {%- set advice = "these are the tables of Fivetran's GraphQL schema, and Quintile reads"
                ~ ' those of its REST schema' -%}
        {%- elif '_airbyte_data' in types -%}
            {%- set advice = "these are Airbyte's raw tables, and Quintile reads the typed tables of"
                ~ ' destination-postgres 2 or newer' -%}
        {%- else -%}
            {%- set advice = 'have the connector load it' -%}
        {%- endif -%}
        {%- do exceptions.raise_compiler_error(
            name ~ ' lacks ' ~ missing | join(', ') ~ ': ' ~ advice ~ '.'
        ) -%}
    {%- endif -%}
    {%- for column, type in columns.items()
        if type == 'jsonb' and types.get(column, 'jsonb') not in ['json', 'jsonb'] -%}
        {%- do exceptions.raise_compiler_error(
            name ~ '.' ~ column ~ ' is ' ~ types[column] ~ ', not jsonb: Quintile reads the typed'
            ~ ' tables of destination-postgres 2 or newer.'
        ) -%}
    {%- endfor -%}
{%- endmacro %}
