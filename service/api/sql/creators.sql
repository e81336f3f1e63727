-- A page of creators by handle, name or address, with their figures as of the last build, and one
-- row more; or one of them.
select
    c.creator_id,
    c.handle,
    c.platform,
    c.name,
    c.email,
    c.profile_url,
    c.notes,
    coalesce(m.samples, 0) as samples,
    coalesce(m.samples_sent, 0) as samples_sent,
    m.goods_value,
    m.last_sample_at,
    m.last_sent_at,
    coalesce(m.own_orders, 0) as own_orders,
    m.own_orders_total,
    m.last_own_order_at,
    m.currency,
    array(
        select a.alias
        from app.creator_aliases as a
        where a.tenant_id = %(tenant_id)s and a.creator_id = c.creator_id
        order by a.alias
    ) as also_known_as,
    c.created_at,
    c.updated_at,
    coalesce(c.handle, lower(c.name), c.email) as sort_name
from app.creators as c
left join marts.creators as m on m.tenant_id = %(tenant_id)s and c.creator_id = m.creator_id
where
    c.tenant_id = %(tenant_id)s
    and (%(creator_id)s::uuid is null or c.creator_id = %(creator_id)s)
    and (
        %(pattern)s::text is null
        or c.handle ilike %(pattern)s
        or c.name ilike %(pattern)s
        or c.email ilike %(pattern)s
    )
    and (
        %(after_name)s::text is null
        or (coalesce(c.handle, lower(c.name), c.email), c.creator_id)
        > (%(after_name)s, %(after_id)s::uuid)
    )
order by coalesce(c.handle, lower(c.name), c.email), c.creator_id
limit %(row_limit)s
