{% macro analyze_if_grown() -%}
    do $$
    begin
        if (
            select pg_relation_size(c.oid) > 1.25 * c.relpages * current_setting('block_size')::int
            from pg_class as c
            where c.oid = '{{ this }}'::regclass
        ) then
            analyze {{ this }};
        end if;
    end
    $$
{%- endmacro %}
