{% macro are_relations_protected() -%}
    {{ return(var('use_service_schemas') and var('protect_relations')) }}
{%- endmacro %}


{% macro protect(relation) -%}
    {%- if are_relations_protected() -%}
        call {{ adapter.quote(var('app_schema')) }}.protect('{{ relation }}')
    {%- endif -%}
{%- endmacro %}


{% macro open_marts_to_the_service() -%}
    {%- if are_relations_protected() -%}
        do $$
        begin
            if not has_schema_privilege('quintile_app', 'marts', 'usage') then
                grant usage on schema marts to quintile_app;
            end if;
        end
        $$
    {%- endif -%}
{%- endmacro %}


{#
    dbt's own grants, but for the service's role where there is no service, or where nothing would
    hold it to one tenant's rows.
#}
{% macro apply_grants(relation, grant_config, should_revoke) -%}
    {%- set granted = {} -%}
    {%- for privilege, grantees in (grant_config or {}).items() -%}
        {%- set grantees = [grantees] if grantees is string else grantees -%}
        {%- do granted.update({
            privilege: grantees if are_relations_protected()
            else grantees | reject('equalto', 'quintile_app') | list
        }) -%}
    {%- endfor -%}
    {#- dbt grants anew where it revokes nothing, and two builds that do so at once fail. -#}
    {%- if granted and not should_revoke -%}
        {%- set there = adapter.standardize_grants_dict(run_query(get_show_grant_sql(relation))) -%}
        {%- set granted = diff_of_two_dicts(granted, there) -%}
    {%- endif -%}
    {{ return(dbt.apply_grants(relation, granted, should_revoke)) }}
{%- endmacro %}
