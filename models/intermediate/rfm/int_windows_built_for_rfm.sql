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

instants (as_of) as (
    values
    {%- for instant in built_instants() %}
    ({{ instant }}){{ ',' if not loop.last }}
    {%- endfor %}
),

-- Backfilled instants come before the one that the build describes; others are not for history.
past_and_present as (
    select distinct as_of
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
        {{ 'false' if reads_changes_only() else 'true' }}
        or coalesce(
            b.settings_key <> s.settings_key
            -- A mark from the future is another server's, out of a dump.
            or b.changes_from > pg_snapshot_xmax(pg_current_snapshot()),
            true
        ) as is_measured_anew
    from keyed_settings as s
    cross join past_and_present as i
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
    is_measured_anew
from final
