-- Marks the segments that the store no longer has, and empties them.
with gone as (
    update shopify.cached_segments
    set gone_at = now(), member_count = 0
    where
        tenant_id = %(tenant_id)s
        and gone_at is null
        and segment_id <> all(%(segment_ids)s)
    returning segment_id
),

emptied as (
    delete from shopify.segment_members as m
    using gone as g
    where m.tenant_id = %(tenant_id)s and m.segment_id = g.segment_id
    returning 1
)

select (select count(*) from gone) + (select count(*) from emptied) as written
