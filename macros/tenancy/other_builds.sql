{#
    Pre-hook of the models that track changes: their hooks write these tables, and which customers
    they recalculate depends on what the same schemas were built with before. With --defer a table
    may be production's, and after `dbt clone` a view of it. A developer's build would then move
    production's watermark, and production would never see the changes before it.
#}
{% macro refuse_tables_of_other_builds(names) -%}
    {%- for name in names -%}
        {%- set table = ref(name) -%}
        {%- set node = graph.nodes.get('model.quintile.' ~ name) if execute -%}
        {%- if node and not is_clone() -%}
            {%- set own = adapter.get_relation(node.database, node.schema, node.alias) -%}
            {%- if table.schema != node.schema or (own is not none and own.is_view) -%}
                {%- do exceptions.raise_compiler_error(
                    model.name ~ ' would write to ' ~ table.render() ~ ', which is of another '
                    ~ 'build (--defer or dbt clone). Build both here: --select +' ~ model.name
                ) -%}
            {%- endif -%}
        {%- endif -%}
    {%- endfor -%}
{%- endmacro %}


{# `dbt clone` makes views of another target's relations. It runs the hooks of the models, too. #}
{% macro is_clone() -%}
    {{ return(execute and flags.WHICH == 'clone') }}
{%- endmacro %}


{#
    On-run-start hook. dbt does not load a seed where `dbt clone` has left a view. `dbt retry` does
    not say which seeds it loads; the run that failed has dropped their views already.
#}
{% macro drop_cloned_seeds() -%}
    {%- if execute and flags.WHICH in ['build', 'seed'] -%}
        {%- for node in graph.nodes.values()
            if node.resource_type == 'seed'
            and node.package_name == 'quintile'
            and node.unique_id in selected_resources -%}
            {%- set existing = adapter.get_relation(node.database, node.schema, node.alias) -%}
            {%- if existing is not none and existing.is_view -%}
                {%- do adapter.drop_relation(existing) -%}
            {%- endif -%}
        {%- endfor -%}
    {%- endif -%}
{%- endmacro %}
