{#
    On-run-start hook. Refuses runs that would silently leave wrong rows: an empty build of tables
    that hold rows, a build of a sample, and a build as of a time that is yet to come. A run that
    builds nothing of this package may be any of these.
#}
{% macro check_run() -%}
    {%- if
        execute
        and flags.WHICH in ['build', 'run', 'seed']
        and selected_own_nodes() | rejectattr('resource_type', 'equalto', 'test') | list
    -%}
        {%- if invocation_args_dict.get('sample') -%}
            {%- do exceptions.raise_compiler_error(
                'Quintile cannot be built with --sample: scores depend on all customers of a '
                ~ 'tenant. The var tenants builds a few tenants completely.'
            ) -%}
        {%- endif -%}
        {%- if flags.EMPTY -%}
            {{ refuse_empty_build() }}
        {%- endif -%}
        {{ refuse_future_as_of() }}
    {%- endif -%}
{%- endmacro %}


{#
    Hooks of a package run in every run of the project that installed it. `dbt retry` does not list
    what it selects, so there it is taken to be all.
#}
{% macro selected_own_nodes() -%}
    {%- set nodes = graph.nodes.values() | selectattr('package_name', 'equalto', 'quintile') -%}
    {%- if selected_resources -%}
        {%- set nodes = nodes | selectattr('unique_id', 'in', selected_resources) -%}
    {%- endif -%}
    {{ return(nodes | list) }}
{%- endmacro %}


{# With --empty every source looks empty, so that the strategy reconcile would delete all rows. #}
{% macro refuse_empty_build() -%}
    {%- for node in selected_own_nodes()
        if node.config.incremental_strategy == 'reconcile' -%}
        {%- set table = adapter.get_relation(node.database, node.schema, node.alias) -%}
        {%- if
            table
            and not table.is_view
            and run_query('select from ' ~ table ~ ' limit 1').rows | length
        -%}
            {%- if target.name != 'dev' -%}
                {%- set advice = 'Build into schemas of your own, for example with --target dev.' -%}
            {%- elif project_name == 'quintile' -%}
                {%- set advice = 'Drop the schema ' ~ table.schema ~ ' first, or set '
                    ~ 'QUINTILE_DBT_SCHEMA to a new name.' -%}
            {%- else -%}
                {%- set advice = 'Drop the schema ' ~ table.schema ~ ' first, or give the target '
                    ~ 'a new schema.' -%}
            {%- endif -%}
            {%- do exceptions.raise_compiler_error(
                'A build with --empty would delete the rows of ' ~ table ~ '. ' ~ advice
            ) -%}
        {%- endif -%}
    {%- endfor -%}
{%- endmacro %}


{# A day of tolerance, because days begin earlier in other time zones and clocks differ. #}
{% macro refuse_future_as_of() -%}
    {%- set limit = modules.datetime.datetime.now(modules.pytz.utc)
        + modules.datetime.timedelta(days=1) -%}
    {%- if as_of_datetime() > limit and not var('allow_future_as_of') -%}
        {%- do exceptions.raise_compiler_error(
            'The var as_of, ' ~ var('as_of') ~ ', is in the future: history would not record any '
            ~ 'build until then. Leave it out to build as of now, or set the var '
            ~ 'allow_future_as_of.'
        ) -%}
    {%- endif -%}
{%- endmacro %}
