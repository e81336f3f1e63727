-- How long ago each connected tenant's store was synced and every tenant was built, in whole
-- hours; stale is twice the default interval. Read as quintile_owner.
with latest as (
    select
        r.tenant_id,
        r.kind,
        max(r.finished_at) as finished_at
    from app.runs as r
    where r.state = 'succeeded' and r.kind in ('shopify_sync', 'klaviyo_sync')
    group by r.tenant_id, r.kind
)

select
    t.name,
    case c.provider when 'shopify' then 'Shopify sync' else 'Klaviyo sync' end as what,
    floor(extract(epoch from now() - coalesce(l.finished_at, c.connected_at)) / 3600)::int as hours,
    coalesce(l.finished_at, c.connected_at)
    < now() - case c.provider when 'shopify' then interval '12 hours' else interval '1 hour' end
        as is_stale
from app.tenants as t
inner join app.connections as c on t.tenant_id = c.tenant_id
left join latest as l on c.tenant_id = l.tenant_id and c.provider || '_sync' = l.kind
where c.state = 'active'
order by t.name, c.provider
