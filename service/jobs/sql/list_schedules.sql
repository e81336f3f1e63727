-- A tenant's schedules in the order given: whether what they need is connected, whether they are
-- paused, and the newest run of their kind.
with named as (
    select
        n.name,
        n.kind,
        n.provider,
        n.place
    from unnest(
        %(names)s::text[], %(kinds)s::text[], %(providers)s::text[]
    ) with ordinality as n (name, kind, provider, place)
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
    named.provider is null or c.provider is not null as is_connected
from app.tenants as t
cross join named
left join app.schedules as s
    on t.tenant_id = s.tenant_id and named.name = s.name
left join app.reachable_connections as c
    on t.tenant_id = c.tenant_id and named.provider = c.provider
left join newest
    on named.kind = newest.kind
where t.tenant_id = %(tenant_id)s
order by named.place
