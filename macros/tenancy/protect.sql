{% macro are_relations_protected() -%}
    {{ return(var('use_service_schemas') and var('protect_relations')) }}
{%- endmacro %}


{#
    Of a relation that is under row level security nothing more is asked: dbt opens a session for each
    model, and in a new session the full look is most of what building a small one costs. What was
    altered since it was made is mended when the next build begins.
#}
{% macro protect(relation) -%}
    {%- if execute and are_relations_protected() and not is_protected(relation) -%}
        call {{ adapter.quote(var('app_schema')) }}.protect('{{ relation }}')
    {%- endif -%}
{%- endmacro %}


{% macro is_protected(relation) -%}
    {% set answer = run_query(
        "select case relkind when 'v' then 'security_invoker=true' = any(reloptions)"
        ~ ' else relrowsecurity and relforcerowsecurity end'
        ~ " from pg_class where oid = '" ~ relation ~ "'::regclass"
    ) %}
    {{ return(answer.rows[0][0]) }}
{%- endmacro %}


{% macro mend_protection() -%}
    {%- if execute and are_relations_protected() and flags.WHICH in ['build', 'run'] -%}
        {%- set app = adapter.quote(var('app_schema')) -%}
        {%- set names = [] -%}
        {%- for node in graph.nodes.values()
            if node.resource_type == 'model'
            and node.package_name == 'quintile'
            and node.config.materialized != 'ephemeral' -%}
            {%- do names.append("('" ~ node.relation_name ~ "')") -%}
        {%- endfor -%}
        do $$
        declare
            altered regclass;
        begin
            for altered in
                select distinct c.oid::regclass
                from (values {{ names | join(', ') }}) as m (name)
                inner join pg_class as c on c.oid = to_regclass(m.name)
                cross join lateral {{ app }}.isolation_findings_of(c.oid)
                where c.relkind in ('r', 'p', 'v')
            loop
                call {{ app }}.protect(altered);
            end loop;
        end
        $$
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
