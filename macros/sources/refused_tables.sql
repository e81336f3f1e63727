{#
    Pre-hook of the tables that read a connector's: ends the build in one sentence. dbt does not print
    an error of an ephemeral model that another one reads, so these leave the sentence as a comment.
#}
{% macro refuse_sources(compiled) -%}
    {%- if execute and source_schemas() -%}
        {%- set refused = modules.re.search('/\\* refused: (.*) \\*/', compiled) -%}
        {%- if refused -%}
            {%- do exceptions.raise_compiler_error(refused.group(1)) -%}
        {%- endif -%}
    {%- endif -%}
{%- endmacro %}


{% macro absent_table(schema, table) -%}
    {%- set name = dbt.string_literal(dbt.escape_single_quotes(schema)) -%}
    {%- if not run_query('select from pg_namespace where nspname = ' ~ name).rows -%}
        {{ return(
            'The var source_schemas lists ' ~ schema ~ ', and there is no such schema.'
        ) }}
    {%- endif -%}
    {{ return(
        schema ~ '.' ~ table ~ ' does not exist: the connector creates it with the first row, so'
        ~ ' list the schema in the var source_schemas once it has orders.'
    ) }}
{%- endmacro %}


{% macro unknown_table(table, types, landed, required) -%}
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
        {{ return(
            table ~ ' lacks ' ~ missing | join(', ') ~ ': ' ~ advice ~ '.'
        ) }}
    {%- endif -%}
    {%- for column in landed
        if column.type == 'jsonb' and column.landed_type not in [none, 'json', 'jsonb'] -%}
        {{ return(
            table ~ '.' ~ column.name ~ ' is ' ~ column.landed_type ~ ', not jsonb: Quintile reads'
            ~ ' the typed tables of destination-postgres 2 or newer.'
        ) }}
    {%- endfor -%}
{%- endmacro %}
