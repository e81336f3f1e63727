-- What is expected of each tenant, how many seconds ago it was last done, or expected first, and
-- whether that is longer than its schedule allows. Read by a role that sees all tenants.
with allowed as (
    select
        a.kind,
        a.schedule,
        a.seconds
    from unnest(%(kinds)s::text[], %(schedules)s::text[], %(seconds)s::float8[])
        as a (kind, schedule, seconds)
),

newest as (
    select
        d.schedule,
        d.time_zone,
        d.due_at
    from unnest(%(due_schedules)s::text[], %(due_zones)s::text[], %(due_times)s::timestamptz[])
        as d (schedule, time_zone, due_at)
),

-- A new tenant, or a new connection, is given as long as an old one.
expected as (
    select
        c.tenant_id,
        a.kind,
        a.schedule,
        a.seconds,
        c.connected_at as expected_since
    from app.connections as c
    inner join allowed as a
        on
            (c.provider = 'shopify' and a.kind in ('shopify_sync', 'segments_sync'))
            or (c.provider = 'klaviyo' and a.kind = 'klaviyo_sync')
    where c.state = 'active'

    union all

    select
        t.tenant_id,
        a.kind,
        a.schedule,
        a.seconds,
        t.created_at as expected_since
    from app.tenants as t
    inner join allowed as a on a.kind = 'build'
),

latest as (
    select
        e.tenant_id,
        e.kind,
        e.schedule,
        e.seconds,
        done.finished_at is not null as is_done,
        coalesce(done.finished_at, e.expected_since) as last_at
    from expected as e
    left join lateral (
        select r.finished_at
        from app.runs as r
        where r.tenant_id = e.tenant_id and r.kind = e.kind and r.state = 'succeeded'
        order by r.finished_at desc
        limit 1
    ) as done on true
)

select
    t.tenant_id,
    t.name,
    l.kind,
    l.is_done,
    extract(epoch from now() - l.last_at)::float8 as seconds,
    -- What is paused is late for nobody, nor is what was resumed and has not come due since.
    extract(epoch from now() - l.last_at) > l.seconds
    and s.paused_at is null
    and coalesce(s.served_at <= n.due_at, true) as is_late
from latest as l
inner join app.tenants as t on l.tenant_id = t.tenant_id
left join app.schedules as s on l.tenant_id = s.tenant_id and l.schedule = s.name
left join newest as n
    on l.schedule = n.schedule and (n.time_zone is null or t.time_zone = n.time_zone)
order by t.name, l.kind
