{# Whether the seed tenants_by_schema is read: for the tenants, or for their connectors' schemas. #}
{% macro is_tenants_seed_read() -%}
    {{ return(not var('use_service_schemas') or var('source_layout') != 'native') }}
{%- endmacro %}


{#
    Condition of every delete of the strategy reconcile. While a row of tenants_by_schema cannot be
    read, or a schema of the connector has no tenant, either may be of any tenant that is not built:
    such tenants keep their rows.
#}
{% macro is_tenant_readable(column) -%}
    {%- set readable = built_relation('model.quintile.base_seeds__tenants') -%}
    {%- set listed = built_relation('seed.' ~ seed_package('tenants_by_schema') ~ '.tenants_by_schema') -%}
    {%- if readable and listed -%}
        (
            {{ column }} in (select t.tenant_id from {{ readable }} as t)
            or (
                (select count(*) from {{ readable }}) = (select count(*) from {{ listed }})
                {%- if var('source_layout') != 'native' %}
                {%- for schema in source_schemas() %}
                and exists (
                    select from {{ readable }} as t
                    where t.source_schema = {{ dbt.string_literal(dbt.escape_single_quotes(schema)) }}
                )
                {%- endfor %}
                {%- endif %}
            )
        )
    {%- else -%}
        true
    {%- endif -%}
{%- endmacro %}


{#
    Relation of a node, for hooks and strategies, which cannot use ref(): dbt rejects it unless the
    running model refers to the same relation itself. None if it has not been built.
#}
{% macro built_relation(unique_id) -%}
    {%- set node = graph.nodes.get(unique_id) if execute -%}
    {{ return(adapter.get_relation(node.database, node.schema, node.alias) if node) }}
{%- endmacro %}
