with

windows as (
    select * from {{ ref('int_windows_built_for_rfm') }}
    where instants_back = 0 and {{ tenant_filter() }}
),

settings as (
    select * from {{ ref('stg_app__rfm_settings') }}
),

final as (
    select distinct
        w.tenant_id,
        added.window_days,
        w.as_of,
        (
            (w.as_of at time zone w.time_zone) - make_interval(days => added.window_days)
        ) at time zone w.time_zone as window_starts_at,
        w.time_zone,
        w.currency,
        w.currency_exponent,
        w.minimum_minor,
        w.is_sample_counted
    from windows as w
    inner join settings as s on w.tenant_id = s.tenant_id
    cross join lateral unnest(s.additional_window_days) as added (window_days)
    where added.window_days <> w.window_days
)

select * from final
