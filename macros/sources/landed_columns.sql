{% macro landed_columns(table) -%}
    {%- set found = {} -%}
    {%- if execute and source_schemas() -%}
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
