{% macro protect(relation) -%}
    {%- if var('protect_relations') -%}
        call {{ adapter.quote(var('app_schema')) }}.protect('{{ relation }}')
    {%- endif -%}
{%- endmacro %}


{% macro open_marts_to_the_service() -%}
    {%- if var('protect_relations') -%}
        do $$
        begin
            if not has_schema_privilege('quintile_app', 'marts', 'usage') then
                grant usage on schema marts to quintile_app;
            end if;
        end
        $$
    {%- endif -%}
{%- endmacro %}
