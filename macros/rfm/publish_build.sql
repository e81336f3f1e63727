{% macro publish_build() -%}
    {%- if not is_clone() -%}
    insert into {{ ref('rfm_builds').render() }} as b (
        tenant_id, as_of, window_starts_at, window_days, time_zone, currency, currency_exponent,
        recorded_until, settings_key, changes_from
    )
    with windows as (
        select * from {{ ref('int_windows_built_for_rfm') }}
    )

    select
        w.tenant_id,
        w.as_of,
        w.window_starts_at,
        w.window_days,
        w.time_zone,
        w.currency,
        w.currency_exponent,
        case when w.is_recorded then w.as_of end,
        w.settings_key,
        w.changes_from
    from windows as w
    where
        w.instants_back = 0
        and {{ tenant_filter('w.tenant_id') }}
    on conflict (tenant_id) do update set
        as_of = excluded.as_of,
        window_starts_at = excluded.window_starts_at,
        window_days = excluded.window_days,
        time_zone = excluded.time_zone,
        currency = excluded.currency,
        currency_exponent = excluded.currency_exponent,
        recorded_until = coalesce(excluded.recorded_until, b.recorded_until),
        settings_key = excluded.settings_key,
        changes_from = excluded.changes_from
    where
        b.tenant_id = excluded.tenant_id
        and (
            b.as_of, b.window_starts_at, b.window_days, b.time_zone, b.currency,
            b.currency_exponent, b.recorded_until, b.settings_key, b.changes_from
        ) is distinct from (
            excluded.as_of, excluded.window_starts_at, excluded.window_days, excluded.time_zone,
            excluded.currency, excluded.currency_exponent,
            coalesce(excluded.recorded_until, b.recorded_until), excluded.settings_key,
            excluded.changes_from
        )
    {%- endif -%}
{%- endmacro %}


{#
    Two builds of the same tenant may overlap if one of them was not started by `quintile build`.
    Neither may publish a watermark for changed customers that the other one found. A plain dbt
    build therefore excludes all other writers of windows. Builds by `quintile build` run for
    different tenants and exclude only plain builds.
#}
{% macro lock_windows() -%}
    {%- if not is_clone() -%}
        lock table {{ ref('int_windows_built_for_rfm').render() }}
        in {{ 'row exclusive' if var('has_build_lock') else 'share row exclusive' }} mode
    {%- endif -%}
{%- endmacro %}


{% macro recalculate_changed_customers_only() -%}
    {%- if not is_clone() -%}
        update {{ ref('int_windows_built_for_rfm').render() }}
        set is_measured_anew = false
        where is_mark_valid and {{ tenant_filter() }}
    {%- endif -%}
{%- endmacro %}


{#
    A new table has no customers yet, so the watermarks of earlier builds do not apply to it, and
    neither do windows that an earlier run prepared for changed customers only.
#}
{% macro reset_change_tracking() -%}
    {%- set existing = load_relation(this) -%}
    {%- if execute and not is_clone() and (existing is none or existing.is_view) -%}
        update {{ ref('rfm_builds').render() }}
        set changes_from = null
        where changes_from is not null;

        update {{ ref('int_windows_built_for_rfm').render() }}
        set is_measured_anew = true
        where not is_measured_anew
    {%- endif -%}
{%- endmacro %}
