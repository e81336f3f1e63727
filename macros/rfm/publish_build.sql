{% macro publish_build() -%}
    insert into {{ ref('rfm_builds') }} as b (
        tenant_id, as_of, window_starts_at, window_days, time_zone, currency, currency_exponent,
        recorded_until, settings_key, changes_from
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
    from {{ ref('int_windows_built_for_rfm') }} as w
    where
        w.instants_back = 0
        and {{ of_built_tenants('w.tenant_id') }}
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
{%- endmacro %}


{#
    Two builds of one tenant may overlap where one of them has not waited for its turn. Neither may
    publish a mark for customers who were found by the other: that one lets nobody else write windows,
    and is kept from it by those of `quintile build`, whose tenants differ.
#}
{% macro hold_windows() -%}
    lock table {{ ref('int_windows_built_for_rfm') }}
    in {{ 'row exclusive' if var('has_build_lock') else 'share row exclusive' }} mode
{%- endmacro %}


{% macro measure_the_touched_only() -%}
    update {{ ref('int_windows_built_for_rfm') }}
    set is_measured_anew = false
    where is_mark_valid and {{ of_built_tenants() }}
{%- endmacro %}


{# A table that is made anew knows nobody, whatever the last build left to do. #}
{% macro forget_what_was_measured() -%}
    {%- if execute and load_relation(this) is none -%}
        update {{ ref('rfm_builds') }} set changes_from = null where changes_from is not null
    {%- endif -%}
{%- endmacro %}
