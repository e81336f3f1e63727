-- Every tenant's id, or only of those with a working connection to a provider: the fan-out's list,
-- read as quintile_transform. The one query that is not about one tenant.
select t.tenant_id
from app.tenants as t
where
    %(provider)s = ''
    or exists (
        select from app.connections as c
        where
            c.tenant_id = t.tenant_id
            and c.provider = %(provider)s
            and c.state = 'active'
    )
    -- A store that has removed the app wants nothing done with what there is of it.
    and not (
        %(provider)s <> ''
        and exists (
            select from app.connections as u
            where
                u.tenant_id = t.tenant_id
                and u.provider = 'shopify'
                and u.uninstalled_at is not null
        )
    )
order by t.tenant_id
