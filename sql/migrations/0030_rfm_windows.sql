-- Windows in addition to the tenant's own, so that scores of several windows can be compared.
create function app.are_window_days_valid(days int[]) returns boolean
language sql immutable parallel safe
return (
    select
        count(*) <= 5
        and count(*) = count(distinct day)
        and coalesce(bool_and(day between 1 and 3650), true)
    from unnest(days) as day
);

alter table app.rfm_settings
add column additional_window_days int[] not null default '{}',
add constraint rfm_settings_additional_windows_check check (
    app.are_window_days_valid(additional_window_days)
),
add constraint rfm_settings_windows_differ_check check (
    window_days <> all(additional_window_days)
);

comment on column app.rfm_settings.additional_window_days is
'Lengths in days of the windows that are scored besides window_days.';
