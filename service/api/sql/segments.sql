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
