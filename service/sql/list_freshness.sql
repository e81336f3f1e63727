-- How many hours ago each connected tenant was synced and every tenant built. Read as
-- quintile_owner.
with latest as (
    select
        r.tenant_id,
        r.kind,
        max(r.finished_at) as finished_at
    from app.runs as r
    where r.state = 'succeeded'
    group by r.tenant_id, r.kind
),

-- What is expected of a tenant, since when, and how long it may take: twice the default interval.
expected as (
    select
        c.tenant_id,
        c.provider || '_sync' as kind,
        case c.provider when 'shopify' then 'Shopify sync' else 'Klaviyo sync' end as what,
        c.connected_at as expected_since,
        case c.provider when 'shopify' then interval '2 hours' else interval '1 hour' end
            as most
    from app.connections as c
    where c.state = 'active'

    union all

    select
        c.tenant_id,
        'segments_sync' as kind,
        'sync of Shopify segments' as what,
        c.connected_at as expected_since,
        interval '12 hours' as most
    from app.connections as c
    where c.state = 'active' and c.provider = 'shopify'

    union all

    select
        t.tenant_id,
        'build' as kind,
        'build' as what,
        t.created_at as expected_since,
        interval '48 hours' as most
    from app.tenants as t
)

select
    t.name,
    e.what,
    floor(extract(epoch from now() - coalesce(l.finished_at, e.expected_since)) / 3600)::int
        as hours,
    coalesce(l.finished_at, e.expected_since) < now() - e.most as is_stale
from app.tenants as t
inner join expected as e on t.tenant_id = e.tenant_id
left join latest as l on e.tenant_id = l.tenant_id and e.kind = l.kind
order by t.name, e.what
