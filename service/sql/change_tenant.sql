-- Change what is given. Landed data is one shop's: when another shop is given and the tenant has
-- been connected to its own, nothing is changed and no row comes back.
update app.tenants as t
set
    shop_domain = coalesce(%(shop)s, t.shop_domain),
    currency = coalesce(%(currency)s, t.currency),
    time_zone = coalesce(%(time_zone)s, t.time_zone)
where
    t.tenant_id = %(tenant_id)s
    and (
        %(shop)s::text is null
        or t.shop_domain = %(shop)s
        or not exists (
            select from app.connections as c
            where c.tenant_id = %(tenant_id)s and c.provider = 'shopify'
        )
    )
returning t.tenant_id
