-- Runs at work of which nothing has been heard for a while. Read as quintile_owner.
select
    t.name,
    r.kind,
    r.run_id,
    floor(extract(epoch from now() - r.heartbeat_at) / 60)::int as minutes
from app.runs as r
inner join app.tenants as t on r.tenant_id = t.tenant_id
where r.state = 'running' and r.heartbeat_at < now() - make_interval(secs => %(stale_after)s)
order by t.name, r.kind
