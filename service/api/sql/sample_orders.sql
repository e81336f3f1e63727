-- name: list_sample_orders
-- A page of sample orders with one extra row, one of them, or all for an export. A creator that a
-- person chose replaces the one that the build found.
select
    s.order_id,
    s.order_number,
    s.customer_id,
    s.customer_name,
    s.customer_email,
    array_remove(
        array[case when s.is_ugc then 'ugc' end, case when s.is_tiktok then 'tiktok' end], null
    ) as types,
    s.matched_tags,
    s.matched_patterns,
    s.evidence,
    s.price_reason,
    s.status,
    s.fulfillment_status,
    s.days_waiting,
    s.channel,
    s.tags,
    s.line_items as items,
    s.goods_value,
    s.goods_value_rank,
    s.days_waiting_rank,
    s.currency,
    c.creator_id,
    c.handle as creator_handle,
    c.name as creator_name,
    case
        when l.order_id is null and c.creator_id is not null then s.automatic_link
        when l.order_id is not null and l.creator_id is null then 'unlinked'
        when l.order_id is not null then 'manual'
    end as creator_link,
    l.linked_by,
    l.linked_at,
    s.ordered_at,
    s.cancelled_at,
    s.first_fulfilled_at,
    s.delivered_at
from marts.sample_orders as s
left join app.sample_creator_links as l
    on l.tenant_id = %(tenant_id)s and s.order_id = l.order_id
left join app.creators as c
    on
        c.tenant_id = %(tenant_id)s
        and c.creator_id = case
            when l.order_id is not null then l.creator_id else s.automatic_creator_id
        end
where
    s.tenant_id = %(tenant_id)s
    and (
        %(type)s::text is null
        or (%(type)s = 'ugc' and s.is_ugc)
        or (%(type)s = 'tiktok' and s.is_tiktok)
    )
    and (%(order_id)s::text is null or s.order_id = %(order_id)s)
    and (%(status)s::text is null or s.status = %(status)s)
    and (%(creator_id)s::uuid is null or c.creator_id = %(creator_id)s)
    and (
        %(ordered_from)s::date is null
        or s.ordered_at >= %(ordered_from)s::timestamp at time zone (
            select t.time_zone from app.tenants as t where t.tenant_id = %(tenant_id)s
        )
    )
    and (
        %(ordered_until)s::date is null
        or s.ordered_at < (%(ordered_until)s::date + 1)::timestamp at time zone (
            select t.time_zone from app.tenants as t where t.tenant_id = %(tenant_id)s
        )
    )
    and (
        %(pattern)s::text is null
        or s.order_number ilike %(pattern)s
        or s.customer_name ilike %(pattern)s
        or s.customer_email ilike %(pattern)s
        or c.handle ilike %(pattern)s
        or c.name ilike %(pattern)s
    )
    and {is_after}
order by {sort_key}
limit %(row_limit)s;
