{#
    Cells of an installer's seeds, as text: null where a cell cannot be read, so that one store's
    cell stops no other store. PostgreSQL 15 cannot ask whether a cast would succeed.
#}
{% macro uuid_or_null(value) -%}
    case
            when {{ value }} ~* '^ *[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12} *$'
                then btrim({{ value }})::uuid
        end
{%- endmacro %}


{#
    Condition on a row of a seed: no other row is of the same tenant, and its id can be read. With
    --empty, dbt gives the seed an alias of its own.
#}
{% macro is_only_row_of_tenant(seed) -%}
    {{ uuid_or_null('tenant_id::text') }} in (
            select {{ uuid_or_null('s.tenant_id::text') }} as tenant_id
            from (select * from {{ seed }}) as s
            group by 1
            having count(*) = 1
        )
{%- endmacro %}


{% macro whole_number_or_null(value, lowest, highest) -%}
    case
            when {{ value }} ~ '^ *[0-9]{1,18}(\.0*)? *$'
                then
                    case
                        when ({{ value }})::numeric between {{ lowest }} and {{ highest }}
                            then ({{ value }})::numeric::bigint
                    end
        end
{%- endmacro %}


{% macro boolean_or_null(value) -%}
    case
            when lower(btrim({{ value }})) in ('true', 't', 'yes', 'y', 'on', '1') then true
            when lower(btrim({{ value }})) in ('false', 'f', 'no', 'n', 'off', '0') then false
        end
{%- endmacro %}


{# A subquery that PostgreSQL runs once, and only if the column is read: the view reads files. #}
{% macro time_zone_or_null(value) -%}
    case
            when lower(btrim({{ value }})) in (select lower(z.name) from pg_timezone_names as z)
                then btrim({{ value }})
        end
{%- endmacro %}


{# An element has quotation marks or is plain: then it is not null, and without \ " and braces. #}
{% macro text_list_or_null(value) -%}
    {%- set quoted -%} "([^"\\]|\\.)*" {%- endset -%}
    {%- set plain -%} (?!null *[,}])[^{}",\\ ][^{}",\\]* {%- endset -%}
    {%- set element = '(' ~ quoted ~ '|' ~ plain ~ ') *' -%}
    case
            when {{ value }} ~* '^ *\{ *({{ element }}(, *{{ element }})*)?\} *$'
                then ({{ value }})::text[]
        end
{%- endmacro %}


{# Up to five windows of up to 3650 days, as app.rfm_settings allows. #}
{% macro window_list_or_null(value) -%}
    case
            when {{ value }} ~ '^ *\{ *([0-9]{1,4} *(, *[0-9]{1,4} *){0,4})?\} *$'
                then
                    case
                        when
                            1 <= all(({{ value }})::int[]) and 3650 >= all(({{ value }})::int[])
                            then ({{ value }})::int[]
                    end
        end
{%- endmacro %}
