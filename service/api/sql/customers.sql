-- name: list_customers
-- A page of all customers in a sort order with one extra row: only what sorts them. A search reads
-- all customers in the table's order. In that of the index of ids, which it hides, one that finds
-- little would take five times as long.
select {columns}
from (
    select
        case when %(pattern)s::text is null then f.customer_id else f.customer_id || '' end
            as member_id,
        case when f.is_excluded_from_rfm then 0 else f.window_minor end as sort_window_spend,
        f.lifetime_minor as sort_spend,
        f.lifetime_order_count as sort_orders,
        coalesce(f.last_order_at, '0001-01-01 00:00:00+00') as sort_last_order,
        coalesce('1' || lower(f.display_name), '2') as sort_name,
        coalesce('1' || lower(f.email), '2') as sort_email
    from marts.customer_facts as f
    where
        f.tenant_id = %(tenant_id)s
        and (
            %(pattern)s::text is null
            or (
                lower(f.display_name collate "C") like %(screen)s
                and lower(f.display_name) collate "C" like lower(%(pattern)s)
            )
            or (
                lower(f.email collate "C") like %(screen)s
                and lower(f.email) collate "C" like lower(%(pattern)s)
            )
            or f.phone like %(pattern)s
            or f.customer_id = %(q)s
        )
) as s
where {is_after}
order by {sort_key}
limit %(row_limit)s;

-- name: search_first_customers
-- The customers that match a search among the next 2,000 in order of their ids: a search for what
-- many have ends here.
select p.member_id
from (
    select s.*
    from (
        select
            f.customer_id as member_id,
            f.display_name,
            f.email,
            f.phone
        from marts.customer_facts as f
        where f.tenant_id = %(tenant_id)s
    ) as s
    where {is_after}
    order by {sort_key}
    limit 2000
) as p
where
    (
        lower(p.display_name collate "C") like %(screen)s
        and lower(p.display_name) collate "C" like lower(%(pattern)s)
    )
    or (
        lower(p.email collate "C") like %(screen)s
        and lower(p.email) collate "C" like lower(%(pattern)s)
    )
    or p.phone like %(pattern)s
    or p.member_id = %(q)s
order by p.member_id
limit %(row_limit)s;

-- name: describe_customers
-- Customers by id, as of the last build. Straight from the table: the view `customers` would join
-- every customer's Shopify segments. One look-up for each id: a plan that is kept for all
-- parameters would otherwise read the tenant's customers.
with asked as (
    select i.customer_id
    from unnest(%(customer_ids)s::text[]) as i (customer_id)
)

select
    f.customer_id,
    f.display_name as name,
    f.email,
    f.phone,
    f.marketing_state,
    f.is_excluded_from_rfm,
    f.lifetime_order_count as orders,
    round(f.lifetime_minor / 10::numeric ^ b.currency_exponent, b.currency_exponent) as spent,
    f.first_order_at,
    f.last_order_at,
    case when f.is_excluded_from_rfm then 0 else f.window_order_count end as window_orders,
    round(
        case when f.is_excluded_from_rfm then 0 else f.window_minor end
        / 10::numeric ^ b.currency_exponent,
        b.currency_exponent
    ) as window_spent,
    b.currency,
    f.r_score,
    f.f_score,
    f.m_score,
    f.segment as rfm_segment,
    coalesce(cardinality(f.sample_order_ids), 0) as samples,
    b.as_of as calculated_at
from marts.rfm_builds as b
cross join asked as a
cross join lateral (
    select c.*
    from marts.customer_facts as c
    where c.tenant_id = %(tenant_id)s and c.customer_id = a.customer_id
    order by c.customer_id
    limit 1
) as f
where b.tenant_id = %(tenant_id)s;

-- name: find_customer_scores
-- A customer's scores with their reasons; no row for a customer without a score.
select
    r.segment,
    r.r_score,
    r.f_score,
    r.m_score,
    r.r_reason,
    r.f_reason,
    r.m_reason,
    r.recency_days,
    r.frequency_count,
    r.monetary_total,
    r.currency,
    r.previous_segment,
    r.segment_changed_on
from marts.customer_rfm_segments as r
where r.tenant_id = %(tenant_id)s and r.customer_id = %(customer_id)s;

-- name: list_customer_moves
-- A customer's changes of RFM segment, newest first.
select
    t.from_segment,
    t.to_segment,
    t.as_of
from marts.rfm_segment_transitions as t
where t.tenant_id = %(tenant_id)s and t.customer_id = %(customer_id)s
order by t.as_of desc
limit %(row_limit)s;

-- name: list_customer_changes
-- When a customer entered and left Shopify segments, newest first.
select
    'shopify:' || h.segment_id as id,
    s.name,
    case when h.has_entered then 'entered' else 'left' end as change,
    h.changed_at
from shopify.segment_changes as h
left join shopify.cached_segments as s
    on s.tenant_id = %(tenant_id)s and h.segment_id = s.segment_id
where h.tenant_id = %(tenant_id)s and h.customer_id = %(customer_id)s
order by h.changed_at desc, h.segment_id asc
limit %(row_limit)s;

-- name: find_built_segment
-- A customer's RFM segment as of the last build, with its name and since when, and the customer's
-- address. Without a score, the segment is null.
select
    f.email,
    f.segment,
    coalesce(d.label, f.segment) as name,
    (
        select case when t.to_segment = f.segment then t.as_of end
        from marts.rfm_segment_transitions as t
        where t.tenant_id = %(tenant_id)s and t.customer_id = %(customer_id)s
        order by t.as_of desc
        limit 1
    ) as since
from marts.customer_facts as f
left join marts.rfm_segment_definitions as d
    on d.tenant_id = %(tenant_id)s and f.segment = d.segment
where f.tenant_id = %(tenant_id)s and f.customer_id = %(customer_id)s;

-- name: list_customer_segments
-- The segments that a customer is in: RFM, Shopify, and pulled lists by the customer's address; not
-- those that were deleted. The RFM segment and the address come as parameters, because their marts
-- may not exist yet. One look-up finds the customer's Shopify segments; lateral keeps the planner
-- to it, and to one probe of an index for each list.
select
    'rfm:' || b.segment as id,
    'rfm' as source,
    b.name,
    b.since
from (
    select
        %(segment)s::text as segment,
        %(name)s::text as name,
        %(since)s::timestamptz as since
) as b
where b.segment is not null

union all

select
    'shopify:' || m.segment_id as id,
    'shopify' as source,
    s.name,
    m.entered_at as since
from shopify.segment_members as m
cross join lateral (
    select c.name
    from shopify.cached_segments as c
    where c.tenant_id = %(tenant_id)s and c.segment_id = m.segment_id and c.gone_at is null
    order by c.segment_id
    limit 1
) as s
where m.tenant_id = %(tenant_id)s and m.customer_id = %(customer_id)s

union all

select
    'klaviyo:' || c.list_id as id,
    'klaviyo' as source,
    c.list_name as name,
    p.joined_at as since
from (
    select
        g.list_id,
        min(g.list_name) as list_name
    from app.klaviyo_sync_configs as g
    left join app.klaviyo_lists as n on n.tenant_id = %(tenant_id)s and g.list_id = n.list_id
    where
        g.tenant_id = %(tenant_id)s
        and g.direction in ('pull', 'bidirectional')
        and n.gone_at is null
    group by g.list_id
) as c
cross join lateral (
    select h.joined_at
    from app.klaviyo_list_profiles as h
    where
        h.tenant_id = %(tenant_id)s
        and h.list_id = c.list_id
        and h.email = coalesce(
            lower(%(email)s),
            (
                select lower(s.email)
                from shopify.customers as s
                where s.tenant_id = %(tenant_id)s and s.customer_id = %(customer_id)s
            )
        )
    order by h.joined_at
    limit 1
) as p
order by source, id;

-- name: list_customer_lists
-- The synced Klaviyo lists that know a customer's address, and what the sync did with it.
select
    c.config_id,
    c.segment_key as segment_id,
    c.list_id,
    c.list_name,
    k.state,
    k.error_detail,
    k.changed_at
from app.klaviyo_ledger as k
inner join app.klaviyo_sync_configs as c
    on c.tenant_id = %(tenant_id)s and k.config_id = c.config_id
where
    k.tenant_id = %(tenant_id)s
    and k.email = (
        select lower(f.email)
        from marts.customer_facts as f
        where f.tenant_id = %(tenant_id)s and f.customer_id = %(customer_id)s
    )
order by lower(c.list_name), c.config_id;

-- name: list_customer_orders
-- A page of a customer's orders, newest first, with one extra row: whether each counts, and if not
-- why.
select
    o.order_id,
    o.order_number,
    o.channel,
    o.tags,
    o.financial_status,
    o.fulfillment_status,
    o.total_amount,
    o.refunded_amount,
    o.net_amount,
    o.currency,
    o.is_counted,
    o.exclusion_reasons,
    o.sample_type,
    o.ordered_at,
    o.cancelled_at
from marts.orders as o
where
    o.tenant_id = %(tenant_id)s
    and o.customer_id = %(customer_id)s
    and (
        %(after_ordered_at)s::timestamptz is null
        or (o.ordered_at, o.order_id) < (%(after_ordered_at)s, %(after_order_id)s)
    )
order by o.ordered_at desc, o.order_id desc
limit %(row_limit)s;

-- name: list_customer_samples
-- The samples sent to a customer, newest first.
select
    s.order_id,
    s.order_number,
    array_remove(
        array[case when s.is_ugc then 'ugc' end, case when s.is_tiktok then 'tiktok' end], null
    ) as types,
    s.status,
    s.evidence,
    s.ordered_at
from marts.sample_orders as s
where
    s.tenant_id = %(tenant_id)s
    and s.order_id = any(
        array(
            select unnest(f.sample_order_ids)
            from marts.customer_facts as f
            where f.tenant_id = %(tenant_id)s and f.customer_id = %(customer_id)s
        )
    )
order by s.ordered_at desc, s.order_id asc
limit %(row_limit)s;
