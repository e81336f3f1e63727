-- Lands one segment as it was when its reading began, which is its synced_at. A reading that began
-- later, or that has found the segment gone since, is newer news: then nothing is landed. Says
-- whether it landed, and whether anything but synced_at changed.
with before as (
    select
        s.name,
        s.query,
        s.member_count,
        s.created_at,
        s.last_edited_at,
        s.gone_at
    from shopify.cached_segments as s
    where s.tenant_id = %(tenant_id)s and s.segment_id = %(segment_id)s
),

landed as (
    insert into shopify.cached_segments as s (
        tenant_id,
        segment_id,
        name,
        query,
        member_count,
        created_at,
        last_edited_at,
        synced_at
    )
    values (
        %(tenant_id)s,
        %(segment_id)s,
        %(name)s,
        %(query)s,
        %(member_count)s,
        %(created_at)s,
        %(last_edited_at)s,
        %(read_at)s
    )
    on conflict (tenant_id, segment_id) do update set
        name = excluded.name,
        query = excluded.query,
        member_count = excluded.member_count,
        created_at = excluded.created_at,
        last_edited_at = excluded.last_edited_at,
        synced_at = excluded.synced_at,
        gone_at = null
    where
        s.tenant_id = %(tenant_id)s
        and s.synced_at <= excluded.synced_at
        and coalesce(s.gone_at <= excluded.synced_at, true)
    returning s.name, s.query, s.member_count, s.created_at, s.last_edited_at, s.gone_at
)

select
    count(*) as landed,
    count(*) filter (where not exists (select from before as b where b is not distinct from l))
        as written
from landed as l
