{% macro rebuilt_transitions() -%}
    exists (
        select from {{ ref('int_windows_built_for_rfm') }} as w
        where w.tenant_id = kept.tenant_id and w.is_recorded and kept.as_of >= w.as_of
    )
{%- endmacro %}


{% macro rebuilt_days() -%}
    exists (
        select from {{ ref('int_windows_built_for_rfm') }} as w
        where
            w.tenant_id = kept.tenant_id
            and w.is_recorded
            and kept.recorded_on >= (w.as_of at time zone w.time_zone)::date
    )
{%- endmacro %}
