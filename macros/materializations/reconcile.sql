{#
    The incremental strategy `reconcile`: afterwards the table holds exactly what the model's query
    gave, for the tenants that were built, and nothing else of the table has changed. A model that
    keeps history names the macro that says which of its rows this build speaks for.
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

    -- Readers are not blocked; a second build of this table waits for its turn.
    lock table {{ target }} in share row exclusive mode;

    delete from {{ target }} as kept
    where
        not exists (select from {{ built }} as built where {{ same_row }})
        {%- if var('tenants') %}
        and kept.tenant_id in ({{ built_tenant_ids() }})
        {%- endif %}
        {%- if spoken_for %}
        and {{ context[spoken_for]() }}
        {%- endif %};

    {%- if values %}

    update {{ target }} as kept
    set
        {%- for column in values %}
        {{ column }} = built.{{ column }}{{ ',' if not loop.last }}
        {%- endfor %}
    from {{ built }} as built
    where
        {{ same_row }}
        and (
            {{ differs | join('\n            or ') }}
        );
    {%- endif %}

    insert into {{ target }} (
        {{ columns | join(',\n        ') }}
    )
    select
        built.{{ columns | join(',\n        built.') }}
    from {{ built }} as built
    where not exists (select from {{ target }} as kept where {{ same_row }});
{% endmacro %}
