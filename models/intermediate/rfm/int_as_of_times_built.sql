{%- set history = previous_build_of('rfm_segment_history') if var('backfill') -%}

with

settings as (
    select
        tenant_id,
        time_zone
    from {{ ref('stg_app__rfm_settings') }}
),

{% if var('backfill') -%}
requested_times as (
    select
        s.tenant_id,
        i.as_of
    from settings as s
    cross join lateral (
        values
        {%- for timestamp in backfill_timestamps('s.time_zone') %}
        ({{ timestamp }}){{ ',' if not loop.last }}
        {%- endfor %}
    ) as i (as_of)
),

{% if history -%}
last_requested as (
    select
        tenant_id,
        max(as_of) as as_of
    from requested_times
    group by tenant_id
),

{% endif -%}
{% endif -%}
-- As-of times of the build. A backfill adds the given ones and all later ones in history, which are
-- recalculated so that each transition follows the one before it.
as_of_times as (
    select
        tenant_id,
        {{ as_of() }} as as_of
    from settings
    {%- if var('backfill') %}

    union distinct

    select
        tenant_id,
        as_of
    from requested_times
    {%- if history %}

    union distinct

    select
        h.tenant_id,
        h.as_of
    from {{ history }} as h
    inner join last_requested as g on h.tenant_id = g.tenant_id and h.as_of > g.as_of
    where {{ tenant_filter('h.tenant_id') }}
    {%- endif %}
    {%- endif %}
),

-- Only as-of times up to the build's own are allowed; later ones do not belong in history.
final as (
    select
        tenant_id,
        as_of
    from as_of_times
    where as_of <= {{ as_of() }}
)

select * from final
