{#
    dbt creates the indexes of a model with its table. This adds those that a later release has
    configured to a table that exists. In a clone the model can be a view, which has no indexes.
#}
{% macro add_missing_indexes() -%}
    {%- if not var('are_relations_unchanged') %}
    do $$
    begin
        {%- for index in config.get('indexes') %}
        {%- set columns = index['columns'] | join(', ') %}
        if (
            select c.relkind = 'r' from pg_class as c
            where c.oid = '{{ this }}'::regclass
        ) and not exists (
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
    {%- endif %}
{%- endmacro %}
