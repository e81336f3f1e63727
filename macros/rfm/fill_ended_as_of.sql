{#
    Upgrades a table of a release without the column ended_as_of; runs once.
#}
{% macro fill_ended_as_of() -%}
    {%- if execute and load_relation(this) is not none
        and column_or_null('ended_as_of', 'timestamptz') != 'ended_as_of' -%}
        alter table {{ this }} add column ended_as_of timestamptz;

        update {{ this }} as t
        set ended_as_of = n.ended_as_of
        from (
            select
                tenant_id,
                customer_id,
                as_of,
                lead(as_of) over (partition by tenant_id, customer_id order by as_of) as ended_as_of
            from {{ this }}
        ) as n
        where
            t.tenant_id = n.tenant_id
            and t.customer_id = n.customer_id
            and t.as_of = n.as_of
            and n.ended_as_of is not null
    {%- endif -%}
{%- endmacro %}
