-- name: list_target_changes
-- Customers and segments that were added to a promo code, removed or refused, newest first: all, or
-- a page with one extra row. Names are those of the last sync; a member of a Shopify segment may
-- not have been loaded yet.
with page as (
    select
        c.changed_at,
        c.kind,
        c.target_id,
        c.change,
        c.run_id
    from app.promo_code_target_changes as c
    where
        c.tenant_id = %(tenant_id)s
        and c.promo_code_id = %(promo_code_id)s
        and (
            %(customer_ids)s::text[] is null
            or (c.kind = 'customer' and c.target_id = any(%(customer_ids)s))
        )
        and (%(change)s::text is null or c.change = %(change)s)
        and (%(since)s::timestamptz is null or c.changed_at >= %(since)s)
        and (
            %(after_changed_at)s::timestamptz is null
            or (c.changed_at, c.kind, c.target_id, c.change)
            < (%(after_changed_at)s, %(after_kind)s, %(after_target_id)s, %(after_change)s)
        )
    order by c.changed_at desc, c.kind desc, c.target_id desc, c.change desc
    limit %(row_limit)s
)

select
    p.changed_at,
    p.kind,
    p.target_id,
    p.change,
    p.run_id,
    case p.kind when 'segment' then 'shopify:' || p.target_id else p.target_id end as id,
    coalesce(s.name, c.display_name, m.display_name) as name,
    coalesce(c.email, m.email) as email
from page as p
left join shopify.cached_segments as s
    on p.kind = 'segment' and s.tenant_id = %(tenant_id)s and p.target_id = s.segment_id
left join shopify.customers as c
    on p.kind = 'customer' and c.tenant_id = %(tenant_id)s and p.target_id = c.customer_id
left join lateral (
    select
        g.display_name,
        g.email
    from shopify.segment_members as g
    where g.tenant_id = %(tenant_id)s and g.customer_id = p.target_id
    order by g.segment_id
    limit 1
) as m on p.kind = 'customer' and c.customer_id is null
order by p.changed_at desc, p.kind desc, p.target_id desc, p.change desc;

-- name: purge_target_changes
-- Deletes old changes of the targets of promo codes.
delete from app.promo_code_target_changes
where tenant_id = %(tenant_id)s and changed_at < now() - make_interval(days => %(days)s);
