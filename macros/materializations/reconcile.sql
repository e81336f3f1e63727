{#
    The incremental strategy `reconcile`: afterwards the table holds exactly what the model's query
    gave, for the tenants that were built, and nothing else of the table has changed. A model whose
    query gives only some of its rows names the macro that says which those are: a list of
    conditions, any of which puts a row among those that are deleted unless the query gave them.
#}
{% macro get_incremental_reconcile_sql(arg_dict) %}
    {%- set target = arg_dict['target_relation'] -%}
    {%- set built = arg_dict['temp_relation'] -%}
    {%- set key = arg_dict['unique_key'] -%}

    {%- if key is string or key is none or key[0] != 'tenant_id' -%}
        {%- do exceptions.raise_compiler_error(
            'The strategy reconcile needs a unique_key that is a list and begins with tenant_id.'
        ) -%}
    {%- endif -%}

    {%- set same_row = [] -%}
    {%- for column in key -%}
        {%- do same_row.append('built.' ~ column ~ ' = kept.' ~ column) -%}
    {%- endfor -%}
    {%- set same_row = same_row | join(' and ') -%}
    {%- set columns = arg_dict['dest_columns'] | map(attribute='name') | list -%}
    {%- set values = columns | reject('in', key) | list -%}
    {%- set differs = [] -%}
    {%- for column in values -%}
        {%- do differs.append('kept.' ~ column ~ ' is distinct from built.' ~ column) -%}
    {%- endfor -%}

    {%- set spoken_for = config.get('meta', {}).get('reconciles') -%}
    {%- set deletable = context[spoken_for](built) if spoken_for else ['true'] -%}

    -- Nothing is known of a temporary table, and a guess has looked up rows one by one, in the
    -- wrong index.
    analyze {{ built }} ({{ key | join(", ") }});

    {%- if not var('has_build_lock') %}

    -- Readers are not blocked; who else writes this table waits, and is waited for.
    lock table {{ target }} in share row exclusive mode;
    {%- endif %}

    {%- for condition in deletable %}

    delete from {{ target }} as kept
    where
        {{ of_built_tenants('kept.tenant_id') }}
        and {{ condition }}
        and not exists (select from {{ built }} as built where {{ same_row }});
    {%- endfor %}

    -- Few rows are looked up by the key. The planner, which takes every page for far away, would read
    -- all of the table for them.
    select set_config(setting, 'off', true)
    from unnest(array['enable_hashjoin', 'enable_mergejoin']) as setting
    where
        (select count(*) from {{ built }}) < (
            select c.reltuples / 16 from pg_class as c where c.oid = '{{ target }}'::regclass
        );

    -- In the order of the key, which keeps rows that come together together in table and indexes.
    merge into {{ target }} as kept
    using (
        select * from {{ built }}
        order by {{ key | join(', ') }}
    ) as built
        on {{ same_row }}
    {%- if values %}
    when matched and (
        {{ differs | join('\n        or ') }}
    ) then update set
        {%- for column in values %}
        {{ column }} = built.{{ column }}{{ ',' if not loop.last }}
        {%- endfor %}
    {%- endif %}
    when not matched then insert (
        {{ columns | join(',\n        ') }}
    ) values (
        built.{{ columns | join(',\n        built.') }}
    );
{% endmacro %}
