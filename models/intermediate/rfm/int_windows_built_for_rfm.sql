{%- set history = previous_build_of('rfm_segment_history') if var('backfill') -%}

with

currencies as (
    select * from {{ ref('int_tenants_given_currency') }}
),

-- Without additional_window_days, on which the figures below do not depend.
settings as (
    select
        tenant_id,
        window_days,
        time_zone,
        minimum_minor,
        is_sample_counted,
        excluded_customer_ids,
        excluded_domains,
        relay_domains
    from {{ ref('stg_app__rfm_settings') }}
),

relay_domains as (
    select * from {{ ref('relay_domains') }}
),

-- Segments of the rule in the order of their scores. A cell that the monetary score does not split
-- is one entry.
segment_rules as (
    select
        tenant_id,
        array_agg(
            case
                when highest_m_score > lowest_m_score then segment
                else segment || ':' || lowest_m_score
            end
            order by r_score, f_score, lowest_m_score
        ) as segments
    from {{ ref('int_scores_mapped_to_segments') }}
    group by tenant_id
),

{% if converts_currencies() -%}
exchange_rates as (
    select * from {{ ref('base_seeds__exchange_rates') }}
),

{% endif -%}
builds as (
    select * from {{ ref('rfm_builds') }}
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
recordable_times as (
    select
        tenant_id,
        as_of
    from as_of_times
    where as_of <= {{ as_of() }}
),

-- Hash everything that a customer's figures depend on, including the rule itself, except the start
-- and end of the window.
keyed_settings as (
    select
        s.*,
        c.currency,
        c.currency_exponent,
        md5(
            row(
                '{{ rfm_rule_hash() }}',
                s.*,
                c.currency,
                (select array_agg(r.domain order by r.domain) from relay_domains as r),
                {%- if converts_currencies() %}
                (
                    select array_agg(x order by x.from_currency, x.starts_at)
                    from exchange_rates as x
                    where x.tenant_id = s.tenant_id
                ),
                {%- endif %}
                g.segments
            )::text
        ) as settings_key
    from currencies as c
    inner join settings as s on c.tenant_id = s.tenant_id
    left join segment_rules as g on c.tenant_id = g.tenant_id
),

final as (
    select
        -- ids
        s.tenant_id,
        (
            row_number() over (partition by s.tenant_id order by i.as_of desc) - 1
        )::int as instants_back,

        -- window, in days of the tenant's time zone
        i.as_of,
        (
            (i.as_of at time zone s.time_zone) - make_interval(days => s.window_days)
        ) at time zone s.time_zone as window_starts_at,
        s.window_days,
        s.time_zone,

        -- currency and rules of counted orders
        s.currency,
        s.currency_exponent,
        s.minimum_minor,
        s.is_sample_counted,

        {%- if var('backfill') %}

        -- A backfill rewrites history from its first as-of time on.
        true as is_recorded,
        {%- else %}

        -- A build of a past date does not change history.
        coalesce(i.as_of >= b.recorded_until, true) as is_recorded,
        {%- endif %}

        -- change tracking: transactions below the watermark have ended, and the last build saw them
        s.settings_key,
        pg_snapshot_xmin(pg_current_snapshot()) as changes_from,
        {{ 'true' if uses_change_tracking() else 'false' }}
        and coalesce(
            b.settings_key = s.settings_key
            -- A watermark in the future comes from another server (a restored dump).
            and b.changes_from <= pg_snapshot_xmax(pg_current_snapshot()),
            false
        ) as is_mark_valid,

        -- set to false by int_customers_touched once it has listed the changed customers
        true as is_measured_anew
    from keyed_settings as s
    inner join recordable_times as i on s.tenant_id = i.tenant_id
    left join builds as b on s.tenant_id = b.tenant_id
)

select * from final
