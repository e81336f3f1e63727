{#
    Incremental strategy `reconcile`: afterwards the table holds exactly the rows of the model's
    query for the built tenants, and only rows that differ were written. A model whose query returns
    only some of its rows names a macro in meta.delete_conditions. It returns a list of conditions;
    a row that meets one of them and is not in the query is deleted.
#}
{% macro get_incremental_reconcile_sql(arg_dict) %}
    {%- set target = arg_dict['target_relation'] -%}
    {%- set incoming = arg_dict['temp_relation'] -%}
    {%- set key = arg_dict['unique_key'] -%}

    {%- if key is string or key is none or key[0] != 'tenant_id' -%}
        {%- do exceptions.raise_compiler_error(
            'The strategy reconcile needs a unique_key that is a list and begins with tenant_id.'
        ) -%}
    {%- endif -%}

    {%- set key_match = [] -%}
    {%- for column in key -%}
        {%- do key_match.append('incoming.' ~ column ~ ' = existing.' ~ column) -%}
    {%- endfor -%}
    {%- set key_match = key_match | join(' and ') -%}
    {%- set columns = arg_dict['dest_columns'] | map(attribute='name') | list -%}
    {%- set other_columns = columns | reject('in', key) | list -%}
    {%- set differences = [] -%}
    {%- for column in other_columns -%}
        {%- do differences.append('existing.' ~ column ~ ' is distinct from incoming.' ~ column) -%}
    {%- endfor -%}

    {%- set delete_macro = config.get('meta', {}).get('delete_conditions') -%}
    {%- set delete_conditions = context[delete_macro](incoming) if delete_macro else ['true'] -%}

    -- A new temporary table has no statistics. Without them the planner has chosen a nested loop
    -- over the wrong index.
    analyze {{ incoming }} ({{ key | join(", ") }});

    {%- if not var('has_build_lock') %}

    -- Readers are not blocked. Other writers of this table wait for this one, and this one for
    -- them.
    lock table {{ target }} in share row exclusive mode;
    {%- endif %}

    {%- for condition in delete_conditions %}

    delete from {{ target }} as existing
    where
        {{ tenant_filter('existing.tenant_id') }}
        and {{ is_tenant_readable('existing.tenant_id') }}
        and {{ condition }}
        and not exists (select from {{ incoming }} as incoming where {{ key_match }});
    {%- endfor %}

    -- Look up few rows by the key. The planner overestimates the cost of random reads and would
    -- scan the whole table.
    select set_config(setting, 'off', true)
    from unnest(array['enable_hashjoin', 'enable_mergejoin']) as setting
    where
        (select count(*) from {{ incoming }}) < (
            select c.reltuples / 16 from pg_class as c where c.oid = '{{ target }}'::regclass
        );

    -- Sort by the key, so that neighbouring rows are stored close together in the table and
    -- indexes.
    merge into {{ target }} as existing
    using (
        select * from {{ incoming }}
        order by {{ key | join(', ') }}
    ) as incoming
        on {{ key_match }}
    {%- if other_columns %}
    when matched and (
        {{ differences | join('\n        or ') }}
    ) then update set
        {%- for column in other_columns %}
        {{ column }} = incoming.{{ column }}{{ ',' if not loop.last }}
        {%- endfor %}
    {%- endif %}
    when not matched then insert (
        {{ columns | join(',\n        ') }}
    ) values (
        incoming.{{ columns | join(',\n        incoming.') }}
    );
{% endmacro %}
