-- Runs after the transitions: a date appears in history only once its transitions exist, so that
-- movements between two recorded dates always add up, even if a build ends between the two models.
-- depends_on: {{ ref('rfm_segment_transitions') }}

with

windows as (
    select * from {{ ref('int_windows_built_for_rfm') }}
),

tenants as (
    select * from {{ ref('int_tenants_built') }}
),

counted as (
    select * from {{ ref('int_customers_counted_by_score') }}
    where {{ tenant_filter() }}
),

backfilled as (
    select * from {{ ref('int_customers_backfilled_for_rfm') }}
    where {{ tenant_filter() }}
),

segments as (
    select * from {{ ref('rfm_segment_definitions') }}
),

-- Of several as-of times on one date, the last one counts.
days as (
    select distinct on (w.tenant_id, (w.as_of at time zone w.time_zone)::date)
        w.tenant_id,
        (w.as_of at time zone w.time_zone)::date as recorded_on,
        w.instants_back,
        w.as_of,
        w.currency,
        w.currency_exponent
    from windows as w
    inner join tenants as t on w.tenant_id = t.tenant_id
    where w.is_recorded
    order by w.tenant_id asc, (w.as_of at time zone w.time_zone)::date asc, w.as_of desc
),

sizes as (
    select
        tenant_id,
        0 as instants_back,
        segment,
        sum(customers)::int as customers,
        sum(revenue_minor) as revenue_minor
    from counted
    group by tenant_id, segment

    union all

    select
        tenant_id,
        instants_back,
        segment,
        count(*)::int as customers,
        sum(net_minor) as revenue_minor
    from backfilled
    group by tenant_id, instants_back, segment
),

-- An empty segment has a row of size 0, so that lines in a chart are not interrupted.
final as (
    select
        d.tenant_id,
        d.recorded_on,
        s.segment,
        coalesce(z.customers, 0) as customers,
        {{ major_units('coalesce(z.revenue_minor, 0)', 'd.currency_exponent') }} as revenue,
        d.currency,
        d.as_of
    from days as d
    inner join segments as s on d.tenant_id = s.tenant_id
    left join sizes as z
        on
            d.tenant_id = z.tenant_id
            and d.instants_back = z.instants_back
            and s.segment = z.segment
)

select * from final
