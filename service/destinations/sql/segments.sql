-- name: describe_rfm_segments
-- RFM segments by key: name, members as of the last build, and the key of their addresses.
select
    'rfm:' || s.segment as segment_key,
    s.label as segment_name,
    count(r.customer_id) as members,
    coalesce(sum(app.address_key(r.email)), 0) as members_key,
    b.as_of
from unnest(%(rfm_segments)s::text[], %(rfm_labels)s::text[]) as s (segment, label)
left join marts.rfm_builds as b on b.tenant_id = %(tenant_id)s
left join marts.customer_rfm_segments as r
    on r.tenant_id = %(tenant_id)s and s.segment = r.segment
where 'rfm:' || s.segment = any(%(segment_keys)s::text[])
group by s.segment, s.label, b.as_of;

-- name: describe_other_segments
-- Shopify segments and pulled lists by key, as describe_rfm_segments, as of the last sync. No row
-- for those that no longer exist.
with keys as (
    select
        k.segment_key,
        split_part(k.segment_key, ':', 1) as kind,
        split_part(k.segment_key, ':', 2) as name
    from unnest(%(segment_keys)s::text[]) as k (segment_key)
)

select
    k.segment_key,
    s.name as segment_name,
    s.member_count as members,
    (
        select coalesce(sum(app.address_key(m.email)), 0)
        from shopify.segment_members as m
        where m.tenant_id = %(tenant_id)s and m.segment_id = s.segment_id
    ) as members_key,
    s.synced_at as as_of
from keys as k
inner join shopify.cached_segments as s on k.name = s.segment_id
where s.tenant_id = %(tenant_id)s and k.kind = 'shopify'

union all

select
    k.segment_key,
    l.name as segment_name,
    m.profiles as members,
    m.members_key,
    (
        select greatest(l.full_read_at, max(c.planned_at), max(c.last_synced_at))
        from app.klaviyo_sync_configs as c
        where c.tenant_id = %(tenant_id)s and c.list_id = l.list_id
    ) as as_of
from keys as k
inner join app.klaviyo_lists as l on k.name = l.list_id
cross join lateral (
    select
        count(*) as profiles,
        coalesce(sum(app.address_key(p.email)), 0) as members_key
    from app.klaviyo_members as p
    where p.tenant_id = %(tenant_id)s and p.list_id = l.list_id
) as m
where l.tenant_id = %(tenant_id)s and k.kind = 'klaviyo';

-- name: count_lists
-- The size of each list, as of when it was last read or written. No row for a list that never was.
select
    l.list_id,
    s.as_of,
    (
        select count(*)
        from app.klaviyo_members as p
        where p.tenant_id = %(tenant_id)s and p.list_id = l.list_id
    ) as profiles
from app.klaviyo_lists as l
cross join lateral (
    select greatest(l.full_read_at, max(c.planned_at), max(c.last_synced_at)) as as_of
    from app.klaviyo_sync_configs as c
    where c.tenant_id = %(tenant_id)s and c.list_id = l.list_id
) as s
where
    l.tenant_id = %(tenant_id)s
    and l.list_id = any(%(list_ids)s::text[])
    and s.as_of is not null;
