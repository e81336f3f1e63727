-- Schedules of tenants that have come due since they were served last: the newest time each names,
-- by all clocks or by that of one time zone. A tenant's schedules begin with the tenant; what is
-- paused, or lacks its connection, is not due. Read as quintile_transform.
select
    t.tenant_id,
    d.name,
    d.due_at
from unnest(
    %(names)s::text[], %(providers)s::text[], %(zones)s::text[], %(times)s::timestamptz[]
) as d (name, provider, time_zone, due_at)
inner join app.tenants as t
    on d.time_zone is null or d.time_zone = t.time_zone
left join app.schedules as s
    on t.tenant_id = s.tenant_id and d.name = s.name
left join app.reachable_connections as c
    on t.tenant_id = c.tenant_id and d.provider = c.provider
where
    s.paused_at is null
    and coalesce(s.served_at, t.created_at) < d.due_at
    and (d.provider is null or c.provider is not null)
order by d.due_at, d.name, t.tenant_id
