{% macro analyze_if_grown() -%}
    do $$
    begin
        if (
            select
                pg_relation_size(c.oid) > 1.25 * c.relpages * current_setting('block_size')::int
                -- CREATE INDEX sets relpages, too, but takes no statistics.
                or (
                    c.relpages > 0
                    and pg_stat_get_last_analyze_time(c.oid) is null
                    and pg_stat_get_last_autoanalyze_time(c.oid) is null
                )
            from pg_class as c
            where c.oid = '{{ this }}'::regclass
        ) then
            analyze {{ this }};
        end if;
    end
    $$
{%- endmacro %}
