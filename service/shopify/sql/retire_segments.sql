-- Marks as gone the segments that a listing, which began at an instant, did not have, and empties
-- them: those that nobody has read since, but for those that were listed and could not be read.
-- With a segment's id it is about that one only.
with gone as (
    update shopify.cached_segments
    set gone_at = now(), member_count = 0
    where
        tenant_id = %(tenant_id)s
        and gone_at is null
        and synced_at < %(read_at)s
        and segment_id <> all(%(unread_ids)s)
        and (%(segment_id)s::text is null or segment_id = %(segment_id)s)
    returning segment_id
),

emptied as (
    delete from shopify.segment_members as m
    using gone as g
    where m.tenant_id = %(tenant_id)s and m.segment_id = g.segment_id
    returning 1
),

-- What could not be read of a segment that is not there need not be read any more.
forgotten as (
    delete from shopify.rejected_rows as j
    where
        j.tenant_id = %(tenant_id)s
        and (
            (
                j.entity = 'segment'
                and j.source_id <> all(%(unread_ids)s)
                and (%(segment_id)s::text is null or j.source_id = %(segment_id)s)
            )
            or (
                j.entity = 'segment_member'
                and exists (
                    select from gone as g
                    where starts_with(j.source_id, g.segment_id || '/')
                )
            )
        )
)

select (select count(*) from gone) + (select count(*) from emptied) as written
