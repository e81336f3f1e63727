{% macro number_or_null(value) -%}
    case
            when
                length({{ value }}) < 100
                and {{ value }} ~ '^\s*[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,3})?\s*$'
                then ({{ value }})::numeric
        end
{%- endmacro %}


{#
    PostgreSQL 15 cannot ask whether a cast would succeed. The pattern accepts ISO 8601 from 1900
    on; the day is compared with the length of the month.
#}
{% macro time_or_null(value) -%}
    case
            when
                {{ value }} ~ '^\s*(19|[2-8][0-9])[0-9]{2}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])([T ]([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9](\.[0-9]+)?)?\s*(Z|UTC|[+-](0[0-9]|1[0-4])(:?[0-5][0-9])?)?)?\s*$'
                then
                    case
                        when
                            substr(btrim({{ value }}), 9, 2)::int
                            <= extract(
                                day from (left(btrim({{ value }}), 7) || '-01')::date
                                + interval '1 month - 1 day'
                            )
                            then
                                (
                                    btrim({{ value }})
                                    || case
                                        when {{ value }} ~ '[T ].*(Z|UTC|[+-][0-9:]+)\s*$' then ''
                                        else ' UTC'
                                    end
                                )::timestamptz
                    end
        end
{%- endmacro %}


{% macro plausible_time(value) -%}
    case when {{ value }} >= '1900-01-01' and {{ value }} < '9000-01-01' then {{ value }} end
{%- endmacro %}


{% macro listed_tags(text) -%}
    array(
            select btrim(t.tag)
            from string_to_table({{ text }}, ',') with ordinality as t (tag, ordinal)
            where btrim(t.tag) <> ''
            order by t.ordinal
        )
{%- endmacro %}
