{% macro are_changes_known() -%}
    {{ return(var('source_layout') == 'native' and var('use_service_schemas')) }}
{%- endmacro %}


{% macro reads_changes_only() -%}
    {{ return(are_changes_known() and not flags.FULL_REFRESH) }}
{%- endmacro %}
