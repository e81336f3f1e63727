{#
    Loose index scan: jumps from tenant to tenant in the index, however many rows each has.
#}
{% macro deleted_tenants() -%}
    {%- set sql -%}
    existing.tenant_id in (
            with recursive table_tenants as (
                (select t.tenant_id from {{ this }} as t order by t.tenant_id limit 1)

                union all

                select (
                    select t.tenant_id from {{ this }} as t
                    where t.tenant_id > p.tenant_id
                    order by t.tenant_id
                    limit 1
                )
                from table_tenants as p
                where p.tenant_id is not null
            )

            select p.tenant_id from table_tenants as p
            where not exists (
                select from {{ tenants_relation() }} as t where t.tenant_id = p.tenant_id
            )
        )
    {%- endset -%}
    {{ return(sql) }}
{%- endmacro %}
