-- name: list_rfm_member_ids
-- A page of the customers in an RFM segment in a sort order, with one extra row: only what sorts
-- them, straight from the table, whose indexes a view would hide. A search reads all members once,
-- for the page and for the number of all that match. It hides the index of ids: in their order it
-- would read customers of all segments until enough match.
select
    {columns},
    case when %(pattern)s::text is not null then count(*) over () end as matching
from (
    select
        case when %(pattern)s::text is null then f.customer_id else f.customer_id || '' end
            as member_id,
        f.window_minor as sort_window_spend,
        f.lifetime_minor as sort_spend,
        f.lifetime_order_count as sort_orders,
        coalesce(f.last_order_at, '0001-01-01 00:00:00+00') as sort_last_order,
        coalesce('1' || lower(f.display_name), '2') as sort_name,
        coalesce('1' || lower(f.email), '2') as sort_email,
        coalesce('1' || f.marketing_state, '2') as sort_marketing_state,
        coalesce(f.r_score, 0) as sort_r_score,
        coalesce(f.f_score, 0) as sort_f_score,
        coalesce(f.m_score, 0) as sort_m_score,
        coalesce(cardinality(f.sample_order_ids), 0) as sort_samples,
        coalesce(
            (
                select case when t.to_segment = f.segment then t.as_of end
                from marts.rfm_segment_transitions as t
                where t.tenant_id = %(tenant_id)s and t.customer_id = f.customer_id
                order by t.as_of desc
                limit 1
            ),
            '0001-01-01 00:00:00+00'
        ) as sort_since
    from marts.customer_facts as f
    where
        f.tenant_id = %(tenant_id)s
        and f.segment = %(key)s
        and (%(r_score)s::int is null or f.r_score = %(r_score)s)
        and (%(f_score)s::int is null or f.f_score = %(f_score)s)
        and (%(m_score)s::int is null or f.m_score = %(m_score)s)
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

-- name: count_rfm_members
-- The customers in an RFM segment, as the last build counted them; no row without such a segment.
select s.customers as rows
from marts.rfm_segment_summary as s
where s.tenant_id = %(tenant_id)s and s.segment = %(key)s;

-- name: list_shopify_member_ids
-- A page of the members of a Shopify segment in a sort order, with one extra row: only what sorts
-- them, straight from the tables. By id, only the page's rows are read. A search reads all members
-- once, as in list_rfm_member_ids, and joins those that match with their figures.
select
    {columns},
    case when %(pattern)s::text is not null then count(*) over () end as matching
from (
    select
        case when %(pattern)s::text is null then m.customer_id else m.customer_id || '' end
            as member_id,
        coalesce(case when not f.is_excluded_from_rfm then f.window_minor end, 0)
            as sort_window_spend,
        coalesce(f.lifetime_minor, 0) as sort_spend,
        coalesce(f.lifetime_order_count, 0) as sort_orders,
        coalesce(f.last_order_at, '0001-01-01 00:00:00+00') as sort_last_order,
        coalesce('1' || lower(m.display_name), '2') as sort_name,
        coalesce('1' || lower(m.email), '2') as sort_email,
        coalesce('1' || m.marketing_state, '2') as sort_marketing_state,
        coalesce(f.r_score, 0) as sort_r_score,
        coalesce(f.f_score, 0) as sort_f_score,
        coalesce(f.m_score, 0) as sort_m_score,
        coalesce(cardinality(f.sample_order_ids), 0) as sort_samples,
        coalesce(m.entered_at, '0001-01-01 00:00:00+00') as sort_since
    from shopify.segment_members as m
    left join marts.customer_facts as f
        on f.tenant_id = %(tenant_id)s and m.customer_id = f.customer_id
    where
        m.tenant_id = %(tenant_id)s
        and m.segment_id = %(key)s
        and (%(r_score)s::int is null or f.r_score = %(r_score)s)
        and (%(f_score)s::int is null or f.f_score = %(f_score)s)
        and (%(m_score)s::int is null or f.m_score = %(m_score)s)
        and (
            %(pattern)s::text is null
            or (
                lower(m.display_name collate "C") like %(screen)s
                and lower(m.display_name) collate "C" like lower(%(pattern)s)
            )
            or (
                lower(m.email collate "C") like %(screen)s
                and lower(m.email) collate "C" like lower(%(pattern)s)
            )
            or m.customer_id in (
                select p.customer_id
                from marts.customer_facts as p
                where p.tenant_id = %(tenant_id)s and p.phone like %(pattern)s
            )
            or m.customer_id = %(q)s
        )
) as s
where {is_after}
order by {sort_key}
limit %(row_limit)s;

-- name: list_members
-- A page of the members of any segment in a sort order with one extra row, or all of them.
select s.*
from (
    select
        m.member_id,
        m.customer_id,
        m.profile_id,
        m.display_name as name,
        m.email,
        m.phone,
        m.marketing_state,
        m.lifetime_order_count as orders,
        m.lifetime_total as spent,
        m.window_order_count as window_orders,
        m.window_total as window_spent,
        m.currency,
        m.last_order_at,
        m.r_score,
        m.f_score,
        m.m_score,
        m.rfm_segment,
        m.in_segment_since,
        coalesce(m.sample_count, 0) as samples,
        coalesce(m.window_total, 0) as sort_window_spend,
        coalesce(m.lifetime_total, 0) as sort_spend,
        coalesce(m.lifetime_order_count, 0) as sort_orders,
        coalesce(m.last_order_at, '0001-01-01 00:00:00+00') as sort_last_order,
        coalesce('1' || lower(m.display_name), '2') as sort_name,
        coalesce('1' || lower(m.email), '2') as sort_email,
        coalesce('1' || m.marketing_state, '2') as sort_marketing_state,
        coalesce(m.r_score, 0) as sort_r_score,
        coalesce(m.f_score, 0) as sort_f_score,
        coalesce(m.m_score, 0) as sort_m_score,
        coalesce(m.sample_count, 0) as sort_samples,
        coalesce(m.in_segment_since, '0001-01-01 00:00:00+00') as sort_since
    from marts.segment_members as m
    where
        m.tenant_id = %(tenant_id)s
        and m.source = %(source)s
        and m.segment_key = %(key)s
        and (%(member_ids)s::text[] is null or m.member_id = any(%(member_ids)s))
        and (%(r_score)s::int is null or m.r_score = %(r_score)s)
        and (%(f_score)s::int is null or m.f_score = %(f_score)s)
        and (%(m_score)s::int is null or m.m_score = %(m_score)s)
        and (
            %(pattern)s::text is null
            or (
                lower(m.display_name collate "C") like %(screen)s
                and lower(m.display_name) collate "C" like lower(%(pattern)s)
            )
            or (
                lower(m.email collate "C") like %(screen)s
                and lower(m.email) collate "C" like lower(%(pattern)s)
            )
            or m.phone like %(pattern)s
            or m.member_id = %(q)s
            or m.customer_id = %(q)s
        )
) as s
where {is_after}
order by {sort_key}
limit %(row_limit)s;

-- name: count_overlap
-- Customers in both segments, and in each of them. Profiles on a list that are no customer count in
-- neither. Customers of RFM and Shopify segments come straight from their tables, each once.
with first_segment as (
    select f.customer_id
    from marts.customer_facts as f
    where %(source)s = 'rfm' and f.tenant_id = %(tenant_id)s and f.segment = %(key)s

    union all

    select m.customer_id
    from shopify.segment_members as m
    where %(source)s = 'shopify' and m.tenant_id = %(tenant_id)s and m.segment_id = %(key)s

    union all

    select distinct p.customer_id
    from marts.segment_members as p
    where
        %(source)s = 'klaviyo'
        and p.tenant_id = %(tenant_id)s
        and p.source = %(source)s
        and p.segment_key = %(key)s
        and p.customer_id is not null
),

second_segment as (
    select f.customer_id
    from marts.customer_facts as f
    where %(other_source)s = 'rfm' and f.tenant_id = %(tenant_id)s and f.segment = %(other_key)s

    union all

    select m.customer_id
    from shopify.segment_members as m
    where
        %(other_source)s = 'shopify'
        and m.tenant_id = %(tenant_id)s
        and m.segment_id = %(other_key)s

    union all

    select distinct p.customer_id
    from marts.segment_members as p
    where
        %(other_source)s = 'klaviyo'
        and p.tenant_id = %(tenant_id)s
        and p.source = %(other_source)s
        and p.segment_key = %(other_key)s
        and p.customer_id is not null
)

select
    count(a.customer_id) as customers,
    count(b.customer_id) as with_customers,
    count(*) filter (where a.customer_id = b.customer_id) as in_both
from first_segment as a
full join second_segment as b on a.customer_id = b.customer_id;

-- name: list_rfm_changes
-- A page of the customers who entered or left an RFM segment after a time, in a sort order, with
-- one extra row.
select s.*
from (
    select
        t.customer_id,
        c.display_name as name,
        c.email,
        case when t.to_segment = %(key)s then 'entered' else 'left' end as change,
        t.as_of as changed_at,
        case when t.to_segment = %(key)s then t.from_segment else t.to_segment end as rfm_segment
    from marts.rfm_segment_transitions as t
    left join marts.customer_facts as c
        on c.tenant_id = %(tenant_id)s and t.customer_id = c.customer_id
    where
        t.tenant_id = %(tenant_id)s
        and t.as_of > %(since)s
        and (t.from_segment = %(key)s or t.to_segment = %(key)s)
) as s
where {is_after}
order by {sort_key}
limit %(row_limit)s;

-- name: list_shopify_changes
-- The same for a Shopify segment.
select s.*
from (
    select
        h.customer_id,
        c.display_name as name,
        c.email,
        case when h.has_entered then 'entered' else 'left' end as change,
        h.changed_at,
        null as rfm_segment
    from shopify.segment_changes as h
    left join marts.customer_facts as c
        on c.tenant_id = %(tenant_id)s and h.customer_id = c.customer_id
    where
        h.tenant_id = %(tenant_id)s
        and h.segment_id = %(key)s
        and h.changed_at > %(since)s
) as s
where {is_after}
order by {sort_key}
limit %(row_limit)s;

-- name: list_list_changes
-- The same for a pulled list. Members whose entering was not recorded, because they were on the
-- list at its first reading, entered when Klaviyo says.
with changes as (
    select
        h.profile_id,
        h.email,
        h.has_entered,
        h.changed_at
    from app.klaviyo_list_changes as h
    where h.tenant_id = %(tenant_id)s and h.list_id = %(key)s and h.changed_at > %(since)s

    union all

    select
        p.profile_id,
        p.email,
        true as has_entered,
        p.joined_at as changed_at
    from app.klaviyo_list_profiles as p
    where
        p.tenant_id = %(tenant_id)s
        and p.list_id = %(key)s
        and p.joined_at > %(since)s
        and not exists (
            select from app.klaviyo_list_changes as h
            where
                h.tenant_id = %(tenant_id)s
                and h.list_id = %(key)s
                and h.profile_id = p.profile_id
                and h.has_entered
        )
),

page as (
    select s.*
    from (
        select
            c.profile_id as customer_id,
            c.email,
            c.has_entered,
            c.changed_at
        from changes as c
    ) as s
    where {is_after}
    order by {sort_key}
    limit %(row_limit)s
),

-- Klaviyo's addresses are in lower case.
names as (
    select distinct on (lower(f.email))
        lower(f.email) as email,
        f.display_name
    from marts.customer_facts as f
    where f.tenant_id = %(tenant_id)s and lower(f.email) in (select g.email from page as g)
    order by lower(f.email), f.customer_id
)

select
    s.customer_id,
    c.display_name as name,
    s.email,
    case when s.has_entered then 'entered' else 'left' end as change,
    s.changed_at,
    null as rfm_segment
from page as s
left join names as c on s.email = c.email
order by {sort_key};
