with

tenants as (
    select * from {{ ref('int_tenants_built') }}
),

builds as (
    select * from {{ ref('rfm_builds') }}
),

history as (
    select * from {{ ref('rfm_segment_history') }}
),

transitions as (
    select * from {{ ref('rfm_segment_transitions') }}
),

scores as (
    select * from {{ ref('customer_facts') }}
),

-- The newest day in history that is so many days back, or more.
starts as (
    select distinct on (b.tenant_id, days_back)
        b.tenant_id,
        days_back,
        h.recorded_on as from_on,
        h.as_of as from_as_of,
        (b.as_of at time zone b.time_zone)::date as to_on
    from builds as b
    inner join tenants as t on b.tenant_id = t.tenant_id
    cross join unnest(array{{ var('rfm_movement_days') }}) as days_back
    inner join history as h
        on
            b.tenant_id = h.tenant_id
            and h.recorded_on <= (b.as_of at time zone b.time_zone)::date - days_back
    order by b.tenant_id asc, days_back asc, h.recorded_on desc
),

states_then as (
    select distinct on (t.tenant_id, s.days_back, t.customer_id)
        t.tenant_id,
        s.days_back,
        t.customer_id,
        t.to_segment as segment
    from transitions as t
    inner join starts as s on t.tenant_id = s.tenant_id and t.as_of <= s.from_as_of
    order by t.tenant_id asc, s.days_back asc, t.customer_id asc, t.as_of desc
),

states_now as (
    select
        s.tenant_id,
        f.days_back,
        s.customer_id,
        s.segment
    from scores as s
    inner join starts as f on s.tenant_id = f.tenant_id
    where s.segment is not null
),

-- In none of the two is somebody who had left by then and has not come back.
moves as (
    select
        coalesce(b.tenant_id, a.tenant_id) as tenant_id,
        coalesce(b.days_back, a.days_back) as days_back,
        coalesce(b.segment, 'none') as from_segment,
        coalesce(a.segment, 'none') as to_segment
    from states_then as b
    full join states_now as a
        on
            b.tenant_id = a.tenant_id
            and b.days_back = a.days_back
            and b.customer_id = a.customer_id
    where b.segment is not null or a.segment is not null
),

final as (
    select
        m.tenant_id,
        m.days_back,
        m.from_segment,
        m.to_segment,
        count(*)::int as customers,
        s.from_on,
        s.to_on
    from moves as m
    inner join starts as s on m.tenant_id = s.tenant_id and m.days_back = s.days_back
    group by m.tenant_id, m.days_back, m.from_segment, m.to_segment, s.from_on, s.to_on
)

select
    tenant_id,
    days_back,
    from_segment,
    to_segment,
    customers,
    from_on,
    to_on
from final
