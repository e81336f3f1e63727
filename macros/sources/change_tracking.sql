{% macro has_change_tracking() -%}
    {{ return(var('source_layout') == 'native' and var('use_service_schemas')) }}
{%- endmacro %}


{% macro uses_change_tracking() -%}
    {{ return(has_change_tracking() and not flags.FULL_REFRESH) }}
{%- endmacro %}
