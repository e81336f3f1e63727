-- name: find_segment_names
-- Names of Shopify segments and Klaviyo lists by key. No row for those that no longer exist.
with keys as (
    select
        k.segment_key,
        split_part(k.segment_key, ':', 1) as kind,
        split_part(k.segment_key, ':', 2) as name
    from unnest(%(segment_keys)s::text[]) as k (segment_key)
)

select
    k.segment_key,
    s.name
from keys as k
inner join shopify.cached_segments as s on k.name = s.segment_id
where s.tenant_id = %(tenant_id)s and k.kind = 'shopify'

union

select
    k.segment_key,
    l.name
from keys as k
inner join app.klaviyo_lists as l on k.name = l.list_id
where l.tenant_id = %(tenant_id)s and k.kind = 'klaviyo';

-- name: list_shopify_segments
-- A page of Shopify segments, sorted by name, with one extra row.
select
    segment_id as id,
    name,
    query,
    member_count,
    synced_at,
    gone_at,
    lower(name) as sort_name
from shopify.cached_segments
where
    tenant_id = %(tenant_id)s
    and (
        %(pattern)s::text is null
        or name ilike %(pattern)s
        or query ilike %(pattern)s
    )
    and (
        %(after_sort_name)s::text is null
        or (lower(name), segment_id) > (%(after_sort_name)s, %(after_id)s)
    )
order by lower(name), segment_id
limit %(row_limit)s;

-- name: find_shopify_segments_as_of
-- Time of the last sync, number of segments, and number of segments that could not be read.
select
    count(*) filter (where s.gone_at is null) as segments,
    (
        select count(*)
        from shopify.rejected_rows as j
        where j.tenant_id = %(tenant_id)s and j.entity = 'segment'
    ) as unread,
    coalesce(
        (
            select w.synced_at
            from shopify.sync_watermarks as w
            where w.tenant_id = %(tenant_id)s and w.resource = 'segments'
        ),
        max(s.synced_at)
    ) as as_of
from shopify.cached_segments as s
where s.tenant_id = %(tenant_id)s;
