{#
    Tenants are found by going from one to the next in the index, however many rows each has.
#}
{% macro gone_tenants() -%}
    {%- set sql -%}
    kept.tenant_id in (
            with recursive present as (
                (select t.tenant_id from {{ this }} as t order by t.tenant_id limit 1)

                union all

                select (
                    select t.tenant_id from {{ this }} as t
                    where t.tenant_id > p.tenant_id
                    order by t.tenant_id
                    limit 1
                )
                from present as p
                where p.tenant_id is not null
            )

            select p.tenant_id from present as p
            where not exists (
                select from {{ tenants_relation() }} as t where t.tenant_id = p.tenant_id
            )
        )
    {%- endset -%}
    {{ return(sql) }}
{%- endmacro %}
