{#
    dbt creates the indexes of a model with its table. This adds those that a later release has
    configured to a table that exists.
#}
{% macro add_missing_indexes() -%}
    do $$
    begin
        {%- for index in config.get('indexes') %}
        {%- set columns = index['columns'] | join(', ') %}
        if not exists (
            select from pg_index as i
            where
                i.indrelid = '{{ this }}'::regclass
                and pg_get_indexdef(i.indexrelid) like '%({{ columns }})'
        ) then
            create {{ 'unique ' if index.get('unique') }}index on {{ this }} ({{ columns }});
        end if;
        {%- endfor %}
    end
    $$
{%- endmacro %}
