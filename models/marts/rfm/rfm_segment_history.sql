with

windows as (
    select * from {{ ref('int_windows_built_for_rfm') }}
),

tenants as (
    select * from {{ ref('int_tenants_built') }}
),

scores as (
    select * from {{ ref('customer_rfm_scores') }}
),

segments as (
    select * from {{ ref('rfm_segments') }}
),

-- Of several instants on one day the last stands for the day.
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
        instants_back,
        segment,
        count(*)::int as customers,
        sum(monetary_minor) as revenue_minor
    from scores
    group by tenant_id, instants_back, segment
),

-- An empty segment is a size, too: lines in a chart do not break.
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
    cross join segments as s
    left join sizes as z
        on
            d.tenant_id = z.tenant_id
            and d.instants_back = z.instants_back
            and s.segment = z.segment
)

select
    tenant_id,
    recorded_on,
    segment,
    customers,
    revenue,
    currency,
    as_of
from final
