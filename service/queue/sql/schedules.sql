-- name: list_schedules
-- A tenant's schedules in the order given: whether their provider is connected, whether they are
-- paused, from when a refused connection may be used, and the newest run of their kind.
with named as (
    select
        n.name,
        n.kind,
        n.provider,
        n.ordinal
    from unnest(
        %(names)s::text[], %(kinds)s::text[], %(providers)s::text[]
    ) with ordinality as n (name, kind, provider, ordinal)
),

newest as (
    select distinct on (r.kind)
        r.kind,
        to_jsonb(r) as run
    from app.runs as r
    where r.tenant_id = %(tenant_id)s and r.kind = any(%(kinds)s::text[])
    order by r.kind asc, r.created_at desc
)

select
    named.name,
    t.time_zone,
    s.paused_at,
    s.paused_by,
    newest.run as last_run,
    c.next_probe_at,
    named.provider is null or c.provider is not null as is_connected
from app.tenants as t
cross join named
left join app.schedules as s
    on t.tenant_id = s.tenant_id and named.name = s.name
left join app.scheduled_connections as c
    on t.tenant_id = c.tenant_id and named.provider = c.provider
left join newest
    on named.kind = newest.kind
where t.tenant_id = %(tenant_id)s
order by named.ordinal;

-- name: list_time_zones
-- Time zones of all tenants. Read by a role that sees all tenants.
select distinct t.time_zone
from app.tenants as t;

-- name: find_pause
-- Since when a tenant's schedule is paused. No row if it is not.
select paused_at
from app.schedules
where tenant_id = %(tenant_id)s and name = %(name)s and paused_at is not null;

-- name: pause_schedule
-- Pauses a tenant's schedule; who paused it first is kept.
insert into app.schedules as s (tenant_id, name, paused_at, paused_by)
values (%(tenant_id)s, %(name)s, now(), %(by)s)
on conflict (tenant_id, name) do update
set paused_at = excluded.paused_at, paused_by = excluded.paused_by
where s.paused_at is null;

-- name: resume_schedule
-- Resumes a tenant's schedule; times that passed while it was paused count as served.
update app.schedules
set paused_at = null, paused_by = null, served_at = now()
where tenant_id = %(tenant_id)s and name = %(name)s and paused_at is not null;

-- name: list_built_tenants
-- The as-of time of each tenant's figures. Read by a role that sees all tenants.
select
    tenant_id,
    least(as_of, now()) as as_of
from marts.rfm_builds;

-- name: list_freshness
-- The kinds of run expected of each tenant: seconds since the last success, or since the kind was
-- first expected, and whether that is longer than its schedule allows. A build may be known from
-- the marts only. Read by a role that sees all tenants.
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

-- For a new tenant or connection, the time counts from its creation.
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

built as (
    select
        b.tenant_id,
        b.built_at
    from unnest(%(built_tenants)s::uuid[], %(built_times)s::timestamptz[])
        as b (tenant_id, built_at)
),

latest as (
    select
        e.tenant_id,
        e.kind,
        e.schedule,
        e.seconds,
        done.finished_at is not null as is_recorded,
        coalesce(done.finished_at, b.built_at) is not null as is_done,
        coalesce(greatest(done.finished_at, b.built_at), e.expected_since) as last_at
    from expected as e
    left join built as b on e.tenant_id = b.tenant_id and e.kind = 'build'
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
    l.is_recorded,
    l.is_done,
    extract(epoch from now() - l.last_at)::float8 as seconds,
    -- Not late: a paused schedule, and a resumed one that has not come due since.
    extract(epoch from now() - l.last_at) > l.seconds
    and s.paused_at is null
    and coalesce(s.served_at <= n.due_at, true) as is_late
from latest as l
inner join app.tenants as t on l.tenant_id = t.tenant_id
left join app.schedules as s on l.tenant_id = s.tenant_id and l.schedule = s.name
left join newest as n
    on l.schedule = n.schedule and (n.time_zone is null or t.time_zone = n.time_zone)
order by t.name, l.kind;
