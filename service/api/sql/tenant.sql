-- The tenant of a request, with what was last done for it.
select
    t.tenant_id,
    t.name,
    t.shop_domain,
    t.currency,
    t.time_zone,
    c.provider is not null as is_shopify_connected,
    (
        select max(r.finished_at)
        from app.runs as r
        where
            r.tenant_id = %(tenant_id)s
            and r.kind = 'shopify_sync'
            and r.state = 'succeeded'
    ) as last_synced_at,
    (
        select max(r.finished_at)
        from app.runs as r
        where
            r.tenant_id = %(tenant_id)s
            and r.kind = 'build'
            and r.state = 'succeeded'
    ) as last_built_at
from app.tenants as t
left join app.connections as c
    on
        t.tenant_id = c.tenant_id
        and c.provider = 'shopify'
        and c.state <> 'disconnected'
where t.tenant_id = %(tenant_id)s
