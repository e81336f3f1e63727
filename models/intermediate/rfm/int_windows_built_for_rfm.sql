with

settings as (
    select * from {{ ref('int_rfm_settings_keyed') }}
),

as_of_times as (
    select * from {{ ref('int_as_of_times_built') }}
),

builds as (
    select * from {{ ref('rfm_builds') }}
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
    from settings as s
    inner join as_of_times as i on s.tenant_id = i.tenant_id
    left join builds as b on s.tenant_id = b.tenant_id
)

select * from final
