{%- set history = as_last_built('rfm_segment_history') if var('backfill') -%}

with

currencies as (
    select * from {{ ref('int_tenants_given_currency') }}
),

settings as (
    select * from {{ ref('stg_app__rfm_settings') }}
),

relay_domains as (
    select * from {{ ref('relay_domains') }}
),

segment_grid as (
    select * from {{ ref('rfm_segment_grid') }}
),

builds as (
    select * from {{ ref('rfm_builds') }}
),

{% if var('backfill') -%}
given_instants as (
    select
        s.tenant_id,
        i.as_of
    from settings as s
    cross join lateral (
        values
        {%- for instant in backfilled_instants('s.time_zone') %}
        ({{ instant }}){{ ',' if not loop.last }}
        {%- endfor %}
    ) as i (as_of)
),

{% if history -%}
last_given as (
    select
        tenant_id,
        max(as_of) as as_of
    from given_instants
    group by tenant_id
),

{% endif -%}
{% endif -%}
-- What the build describes. In a backfill there are the instants given, too, and those that history
-- holds after them, which are computed again so that no chain breaks.
instants as (
    select
        tenant_id,
        {{ as_of() }} as as_of
    from settings
    {%- if var('backfill') %}

    union distinct

    select
        tenant_id,
        as_of
    from given_instants
    {%- if history %}

    union distinct

    select
        h.tenant_id,
        h.as_of
    from {{ history }} as h
    inner join last_given as g on h.tenant_id = g.tenant_id and h.as_of > g.as_of
    where {{ of_built_tenants('h.tenant_id') }}
    {%- endif %}
    {%- endif %}
),

-- Backfilled instants come before the one that the build describes; others are not for history.
past_and_present as (
    select
        tenant_id,
        as_of
    from instants
    where as_of <= {{ as_of() }}
),

-- Everything but the window's ends that a customer's figures depend on, the rule itself included.
keyed_settings as (
    select
        s.*,
        c.currency,
        c.currency_exponent,
        md5(
            row(
                '{{ rfm_rule() }}',
                s.*,
                c.currency,
                (select array_agg(r.domain order by r.domain) from relay_domains as r),
                (
                    select array_agg(g.segment order by g.r_score, g.f_score)
                    from segment_grid as g
                )
            )::text
        ) as settings_key
    from currencies as c
    inner join settings as s on c.tenant_id = s.tenant_id
),

final as (
    select
        -- ids
        s.tenant_id,
        (
            row_number() over (partition by s.tenant_id order by i.as_of desc) - 1
        )::int as instants_back,

        -- the window, in days of the tenant's time zone
        i.as_of,
        (
            (i.as_of at time zone s.time_zone) - make_interval(days => s.window_days)
        ) at time zone s.time_zone as window_starts_at,
        s.window_days,
        s.time_zone,

        -- what counts in it
        s.currency,
        s.currency_exponent,
        s.minimum_minor,
        s.is_sample_counted,

        {%- if var('backfill') %}

        -- A backfill writes history anew from its first instant on.
        true as is_recorded,
        {%- else %}

        -- A build of the past is a look back, which leaves history alone.
        coalesce(i.as_of >= b.recorded_until, true) as is_recorded,
        {%- endif %}

        -- what the last build leaves to do: transactions below the mark are over, and it saw them
        s.settings_key,
        pg_snapshot_xmin(pg_current_snapshot()) as changes_from,
        {{ 'true' if reads_changes_only() else 'false' }}
        and coalesce(
            b.settings_key = s.settings_key
            -- A mark from the future is another server's, out of a dump.
            and b.changes_from <= pg_snapshot_xmax(pg_current_snapshot()),
            false
        ) as is_mark_valid,

        -- until int_customers_touched has found whom these windows leave to measure
        true as is_measured_anew
    from keyed_settings as s
    inner join past_and_present as i on s.tenant_id = i.tenant_id
    left join builds as b on s.tenant_id = b.tenant_id
)

select
    tenant_id,
    instants_back,
    as_of,
    window_starts_at,
    window_days,
    time_zone,
    currency,
    currency_exponent,
    minimum_minor,
    is_sample_counted,
    is_recorded,
    settings_key,
    changes_from,
    is_mark_valid,
    is_measured_anew
from final
