with

currencies as (
    select * from {{ ref('int_tenants_given_currency') }}
),

settings as (
    select * from {{ ref('stg_app__rfm_settings') }}
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

final as (
    select
        -- ids
        c.tenant_id,
        (
            row_number() over (partition by c.tenant_id order by i.as_of desc) - 1
        )::int as instants_back,

        -- the window, in days of the tenant's time zone
        i.as_of,
        (
            (i.as_of at time zone s.time_zone) - make_interval(days => s.window_days)
        ) at time zone s.time_zone as window_starts_at,
        s.window_days,
        s.time_zone,

        -- what counts in it
        c.currency,
        c.currency_exponent,
        s.minimum_minor,
        s.is_sample_counted,

        {%- if var('backfill') %}

        -- A backfill writes history anew from its first instant on.
        true as is_recorded
        {%- else %}

        -- A build of the past is a look back, which leaves history alone.
        coalesce(i.as_of >= b.recorded_until, true) as is_recorded
        {%- endif %}
    from currencies as c
    cross join past_and_present as i
    inner join settings as s on c.tenant_id = s.tenant_id
    left join builds as b on c.tenant_id = b.tenant_id
)

select * from final
