{% macro are_relations_protected() -%}
    {{ return(var('use_service_schemas') and var('protect_relations')) }}
{%- endmacro %}


{#
    Skips a relation that is already under row level security. dbt opens a session for each model,
    and in a new session the full check is most of the cost of a small model. Policies that were
    altered later are repaired when the next build starts (repair_protection).
#}
{% macro protect(relation) -%}
    {%- if
        execute
        and are_relations_protected()
        and not var('are_relations_unchanged')
        and not is_protected(relation)
    -%}
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


{% macro repair_protection() -%}
    {%- set names = [] -%}
    {%- if execute and are_relations_protected() and flags.WHICH in ['build', 'run'] -%}
        {%- for node in graph.nodes.values()
            if node.resource_type == 'model'
            and node.package_name == 'quintile'
            and node.config.materialized != 'ephemeral' -%}
            {%- do names.append("('" ~ node.relation_name ~ "')") -%}
        {%- endfor -%}
    {%- endif -%}
    {%- if names %}
        {%- set app = adapter.quote(var('app_schema')) %}
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


{% macro grant_marts_usage() -%}
    {%- set schemas = [] -%}
    {%- if execute and are_relations_protected() -%}
        {%- for node in graph.nodes.values()
            if node.package_name == 'quintile'
            and 'quintile_app' in node.config.get('grants', {}).get('select', []) -%}
            {%- do schemas.append(dbt.string_literal(dbt.escape_single_quotes(node.schema))) -%}
        {%- endfor -%}
    {%- endif -%}
    {%- if schemas %}
        do $$
        declare
            closed text;
        begin
            for closed in
                select n.nspname from pg_namespace as n
                where n.nspname in ({{ schemas | unique | join(', ') }})
                and not has_schema_privilege('quintile_app', n.oid, 'usage')
            loop
                execute format('grant usage on schema %I to quintile_app', closed);
            end loop;
        end
        $$
    {%- endif -%}
{%- endmacro %}


{#
    dbt's grants, except those to quintile_app if the service does not exist or if row level
    security does not restrict it to one tenant.
#}
{% macro apply_grants(relation, grant_config, should_revoke) -%}
    {%- if not quintile.is_own_node() -%}
        {{ return(dbt.apply_grants(relation, grant_config, should_revoke)) }}
    {%- endif -%}
    {%- if var('are_relations_unchanged') -%}
        {{ return('') }}
    {%- endif -%}
    {%- set granted = {} -%}
    {%- for privilege, grantees in (grant_config or {}).items() -%}
        {%- set grantees = [grantees] if grantees is string else grantees -%}
        {%- do granted.update({
            privilege: grantees if are_relations_protected()
            else grantees | reject('equalto', 'quintile_app') | list
        }) -%}
    {%- endfor -%}
    {#- Without revoking, dbt repeats existing grants, and two builds that do so at once fail. -#}
    {%- if granted and not should_revoke -%}
        {%- set shown = run_query(get_show_grant_sql(relation)) -%}
        {%- set current_grants = adapter.standardize_grants_dict(shown) -%}
        {%- set granted = diff_of_two_dicts(granted, current_grants) -%}
    {%- endif -%}
    {#- dbt runs no on-run-start hook for a clone. -#}
    {%- if is_clone() and are_relations_protected() -%}
        {%- call statement('grant_marts_usage') -%}{{ grant_marts_usage() }}{%- endcall -%}
    {%- endif -%}
    {{ return(dbt.apply_grants(relation, granted, should_revoke)) }}
{%- endmacro %}
